"""What a training refuses of its spec before it reads any data: numbers out of range, names of nothing.

Pre-flight asks the same of a spec that is still to be approved, so nothing here needs torch or opens a file.
"""

from __future__ import annotations

import math

from omegaconf import DictConfig, OmegaConf

from deft.embedding.pair_network import BACKBONE_TYPE
from deft.errors import UsageError
from deft.tools.visual_changenet.backbones import TRANSFORMERS
from deft.tools.visual_changenet.engine import Engine, engine_of
from deft.tools.visual_changenet.precision import require_precision
from deft.workspace.training_spec import BACKBONE_WEIGHTS

KNOWN = {
    "train.optim.optim": ("adamw", "adam", "sgd"),
    "train.optim.policy": ("linear", "step"),
    "train.classify.loss": ("contrastive", "ce"),
    "train.checkpoint_interval_unit": ("epoch", "step"),
    "dataset.classify.num_golden": (1,),
}
AT_LEAST = {
    "dataset.classify.batch_size": 2,
    "train.num_epochs": 1,
    "train.checkpoint_interval": 1,
    "train.validation_interval": 1,
    "train.embedded.steps_per_epoch": 1,
    "train.optim.weight_decay": 0,
    "train.embedded.weight_decay": 0,
}
RATES = ("train.optim.lr", "train.embedded.peak_lr", "train.embedded.warm_lr")


def require_recipe(config: DictConfig) -> None:
    """Refuse, by its key, a value that no training can have; whichever network it is for."""
    for key, least in AT_LEAST.items():
        value = OmegaConf.select(config, key)
        if value is None or not value >= least:
            raise UsageError(f"{key} must be at least {least}", value=value)
    for key in RATES:
        value = OmegaConf.select(config, key)
        if value is None or not 0 < value < math.inf:
            raise UsageError(f"{key} must be above 0", value=value)
    for key, known in KNOWN.items():
        value = OmegaConf.select(config, key)
        if value not in known:
            *others, last = map(str, known)
            named = f"{', '.join(others)} or {last}" if others else last
            raise UsageError(f"{key} must be {named}", value=value)
    _require_intervals(config)
    _require_weights_that_are_read(config)


def require_trainable(config: DictConfig) -> Engine:
    """Return the engine of a spec that it can train on; what it could not is refused by its key."""
    require_recipe(config)
    require_precision(config.train.precision)
    engine, backbone = engine_of(config), config.model.backbone
    if backbone.type in TRANSFORMERS and not backbone.pretrained_backbone_path:
        require_size(config, TRANSFORMERS[backbone.type].patch)
    return engine


def require_size(config: DictConfig, patch: int) -> None:
    """Refuse images that a transformer's patches do not fill."""
    for key in ("image_width", "image_height"):
        value = config.dataset.classify[key]
        if value < patch or value % patch:
            raise UsageError(f"dataset.classify.{key} must be a multiple of the patch ({patch})", value=value)


def _require_intervals(config: DictConfig) -> None:
    options = config.train
    for name in ("checkpoint_interval", "validation_interval"):
        counts_steps = name == "checkpoint_interval" and options.checkpoint_interval_unit == "step"
        if not counts_steps and options[name] > options.num_epochs:
            raise UsageError(
                f"train.{name} must not exceed train.num_epochs",
                value=f"{options[name]} > {options.num_epochs}",
                hint=f"train.{name}={options.num_epochs}",
            )


def _require_weights_that_are_read(config: DictConfig) -> None:
    """Refuse a pretrained backbone for the network that has none: it would be left out in silence."""
    named = config.model.backbone.pretrained_backbone_path
    if named and config.model.backbone.type == BACKBONE_TYPE:
        raise UsageError(
            f"{BACKBONE_WEIGHTS} is not read by model.backbone.type {BACKBONE_TYPE}",
            value=named,
            hint="remove the key, or name the backbone's own type, such as vit_small_dinov2",
        )
