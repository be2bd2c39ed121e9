"""The embedded engine on a classify spec: what it reads of the spec, its loss, its scores, its recipe.

The recipe: batches drawn at a fixed share of defects, binary cross entropy, AdamW under a one-cycle rate, an
exponential average of weights and batch-norm statistics that scores, scores averaged over quarter turns.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from deft.embedding.pair_network import (
    PairNetworkSettings,
    build_pair_network,
    fold_batch_norms,
    pair_logits,
    pair_network_settings,
)
from deft.errors import InputRefused, UsageError
from deft.tools.visual_changenet.engine import Flags, Floats

if TYPE_CHECKING:
    from torch import Tensor, nn

MIN_SIDE = 16
WARM_UP_SHARE = 0.2
SHORTEST_SCHEDULE = 10  # below it the warm-up would have no step
AVERAGE_DECAY = 0.99
SPEC_KEYS = {
    "width": "model.embedded.width",
    "image_width": "dataset.classify.image_width",
    "image_height": "dataset.classify.image_height",
}


class MidFusion:
    """Middle fusion on the processor: `model.backbone.type: deft_mid_fusion`."""

    average_decay = AVERAGE_DECAY
    margin = 0.5

    def __init__(self, config: DictConfig) -> None:
        self._recipe, self._precision = config.train.embedded, config.train.precision
        self._settings = settings_of(config)
        self.rotations = self._settings.rotations
        self.augments: bool = self._recipe.augmentation
        self.defect_share: float = self._recipe.defect_share
        if not 0 < self.defect_share < 1:
            raise UsageError("train.embedded.defect_share must lie between 0 and 1", value=self.defect_share)

    def record(self) -> dict[str, Any]:
        """Return what a checkpoint stores so that the network can be built again."""
        return self._settings.as_record()

    def require_same(self, checkpoint: dict[str, Any], path: Path) -> None:
        """Refuse a checkpoint that was trained at another width or image size, by the key."""
        trained = pair_network_settings(checkpoint, path)
        for name, key in SPEC_KEYS.items():
            if getattr(trained, name) != getattr(self._settings, name):
                raise InputRefused(
                    f"checkpoint was trained with {key}={getattr(trained, name)}, "
                    f"the spec says {getattr(self._settings, name)}",
                    value=path,
                )

    def build(self, *, pretrained: bool) -> nn.ModuleDict:
        """Return the untrained network; there are no pretrained weights of it."""
        return build_pair_network(self._settings)

    def for_scoring(self, network: nn.Module) -> nn.Module:
        """Return a copy whose batch norms are part of its convolutions."""
        return fold_batch_norms(network)

    def outputs(self, network: nn.Module, golden: Tensor, test: Tensor) -> Tensor:
        """Return one logit a pair."""
        return pair_logits(network, golden, test, precision=self._precision)

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the binary cross entropy."""
        from torch.nn import functional

        return functional.binary_cross_entropy_with_logits(outputs, target)

    def validation_loss(self, outputs: Floats, is_defect: Flags) -> float:
        """Return the cross entropy of a split, defects weighted as they are drawn in training.

        A split with one class only has its plain mean.
        """
        losses = np.logaddexp(0, np.where(is_defect, -outputs, outputs).astype(np.float64))
        if is_defect.all() or not is_defect.any():
            return float(losses.mean())
        share = self.defect_share
        return float(share * losses[is_defect].mean() + (1 - share) * losses[~is_defect].mean())

    def scores(self, outputs: Floats) -> Floats:
        """Return scores in 0..1: the logistic function, exact far out on both sides."""
        return np.exp(-np.logaddexp(0, -outputs.astype(np.float64))).astype(np.float32)

    def steps_per_epoch(self, rows: int) -> int:
        """Return the spec's number: batches are drawn with replacement, whatever the table's length."""
        steps: int = self._recipe.steps_per_epoch
        if steps < 1:
            raise UsageError("train.embedded.steps_per_epoch must be at least 1", value=steps)
        return steps

    def optimizer(self, network: nn.Module, *, warm: bool) -> Any:
        """Return AdamW at the peak rate, or at the lower warm rate."""
        import torch

        rate = self._recipe.warm_lr if warm else self._recipe.peak_lr
        return torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=self._recipe.weight_decay)

    def schedule(self, optimizer: Any, total_steps: int, steps_per_epoch: int, last_step: int) -> Any:
        """Return a one-cycle schedule whose peak is the optimiser's rate."""
        from torch.optim.lr_scheduler import OneCycleLR

        group = optimizer.param_groups[0]
        return OneCycleLR(
            optimizer,
            group.get("max_lr", group["lr"]),
            total_steps=max(total_steps, SHORTEST_SCHEDULE),
            pct_start=WARM_UP_SHARE,
            last_epoch=last_step,
        )


def settings_of(config: DictConfig) -> PairNetworkSettings:
    """Read the network's settings from a spec; impossible ones are refused by key."""
    classify, embedded = config.dataset.classify, config.model.embedded
    for key, value, least in (
        ("dataset.classify.image_width", classify.image_width, MIN_SIDE),
        ("dataset.classify.image_height", classify.image_height, MIN_SIDE),
        ("model.embedded.width", embedded.width, 1),
    ):
        if value < least:
            raise UsageError(f"{key} must be at least {least}", value=value)
    if embedded.rotations not in (1, 2, 4):
        raise UsageError("model.embedded.rotations must be 1, 2 or 4", value=embedded.rotations)
    return PairNetworkSettings(
        embedded.width, classify.image_width, classify.image_height, embedded.rotations
    )
