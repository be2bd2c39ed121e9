"""The embedded engine on a classify spec: what it needs from the spec, its loss, its scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from omegaconf import DictConfig

from deft.embedding.pair_network import (
    BACKBONE_TYPE,
    PairNetworkSettings,
    build_pair_network,
    fold_batch_norms,
    load_weights,
    pair_logits,
    pair_network_settings,
    read_checkpoint,
    to_batch,
)
from deft.errors import InputRefused, UsageError
from deft.tools.visual_changenet.data import Images

if TYPE_CHECKING:
    from torch import nn

Floats = npt.NDArray[np.float32]
SCORING_BATCH = 128
MIN_SIDE = 16


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


def load_for_scoring(path: Path, settings: PairNetworkSettings) -> nn.Module:
    """Load a checkpoint for inference; one trained at another width or image size is refused."""
    checkpoint = read_checkpoint(path)
    trained = pair_network_settings(checkpoint, path)
    for key, spec_key in (
        ("width", "model.embedded.width"),
        ("image_width", "dataset.classify.image_width"),
        ("image_height", "dataset.classify.image_height"),
    ):
        if getattr(trained, key) != getattr(settings, key):
            raise InputRefused(
                f"checkpoint was trained with {spec_key}={getattr(trained, key)}, "
                f"the spec says {getattr(settings, key)}",
                value=path,
            )
    network = build_pair_network(settings)
    load_weights(network, checkpoint["state_dict"], path)
    return fold_batch_norms(network)


def mean_logits(network: nn.Module, images: Images, *, rotations: int, precision: str) -> Floats:
    """Return each row's logit, averaged over quarter turns of both images.

    Rows are taken in batches of a fixed size, so that a score does not depend on the spec's batch size.
    """
    import torch

    logits = np.empty(len(images.test), np.float32)
    with torch.inference_mode():
        for start in range(0, len(logits), SCORING_BATCH):
            rows = slice(start, start + SCORING_BATCH)
            golden, test = (to_batch(side) for side in images.pairs(rows))
            total = torch.zeros(len(test))
            for turn in range(0, 4, 4 // rotations):
                turned = [torch.rot90(side, turn, (3, 4)) for side in (golden, test)]
                total += pair_logits(network, turned[0], turned[1], precision=precision)
            logits[rows] = (total / rotations).numpy()
    return logits


def scores_of(logits: Floats) -> Floats:
    """Return scores in 0..1: the logistic function, exact far out on both sides."""
    return np.exp(-np.logaddexp(0, -logits.astype(np.float64))).astype(np.float32)


def balanced_loss(logits: Floats, is_defect: npt.NDArray[np.bool_], defect_share: float) -> float:
    """Return the binary cross entropy of a split, weighted as the defects are drawn in training.

    A split with one class only has its plain mean.
    """
    signed = np.where(is_defect, -logits, logits).astype(np.float64)
    losses = np.logaddexp(0, signed)
    if is_defect.all() or not is_defect.any():
        return float(losses.mean())
    return float(defect_share * losses[is_defect].mean() + (1 - defect_share) * losses[~is_defect].mean())


def require_mid_fusion(config: DictConfig) -> None:
    """Refuse a task or a backbone that this engine does not have, naming the alternatives."""
    if config.task != "classify":
        raise UsageError("task must be classify", value=config.task, hint="task=classify")
    if config.model.backbone.type != BACKBONE_TYPE:
        raise UsageError(
            f"model.backbone.type is not one that runs here ({BACKBONE_TYPE})",
            value=config.model.backbone.type,
            hint=f"model.backbone.type={BACKBONE_TYPE}, or run the container with --platform docker",
        )


def rates(scores: Floats, is_defect: npt.NDArray[np.bool_], margin: float) -> dict[str, Any]:
    """Count decisions at a margin, in percent as TAO counts them: errors over all rows, not over a class."""
    flagged = scores > margin
    rows, defects = len(scores), int(is_defect.sum())
    caught = int((flagged & is_defect).sum())
    return {
        "acc": 100 * float((flagged == is_defect).mean()),
        "fpr": 100 * int((flagged & ~is_defect).sum()) / rows,
        "fnr": 100 * (defects - caught) / rows,
        "defect_acc": 100 * caught / defects if defects else 0.0,
    }
