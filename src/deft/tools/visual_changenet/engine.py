"""What training and scoring need to know of a network, whichever it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from omegaconf import DictConfig

from deft.embedding.pair_network import BACKBONE_TYPE, to_batch
from deft.errors import UsageError
from deft.tools.visual_changenet.data import Images

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
SCORING_BATCH = 128


class Engine(Protocol):
    """A network that compares pairs, its loss, and the recipe that trains it."""

    rotations: int
    margin: float
    defect_share: float
    average_decay: float
    augments: bool

    def record(self) -> dict[str, Any]:
        """Return what a checkpoint stores so that the network can be built again."""
        ...

    def require_same(self, checkpoint: dict[str, Any], path: Path) -> None:
        """Refuse a checkpoint whose weights belong to another network than the spec's."""
        ...

    def build(self, *, pretrained: bool) -> nn.ModuleDict:
        """Return the network as training starts it, or, not `pretrained`, for a checkpoint to fill."""
        ...

    def for_scoring(self, network: nn.Module) -> nn.Module:
        """Return the network in the form that scores fastest."""
        ...

    def outputs(self, network: nn.Module, golden: Tensor, test: Tensor) -> Tensor:
        """Return one number a pair, larger for a defect: (n, lights, 3, height, width) twice to (n,)."""
        ...

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the training loss of a batch; `target` is 1 for a defect."""
        ...

    def validation_loss(self, outputs: Floats, is_defect: Flags) -> float:
        """Return the loss of a whole split."""
        ...

    def scores(self, outputs: Floats) -> Floats:
        """Return what `inference.csv` holds; more than `margin` counts as a defect while training."""
        ...

    def steps_per_epoch(self, rows: int) -> int:
        """Return the number of batches an epoch has."""
        ...

    def optimizer(self, network: nn.Module, *, warm: bool) -> Any:
        """Return the optimiser; `warm` when the weights were trained before."""
        ...

    def schedule(self, optimizer: Any, total_steps: int, steps_per_epoch: int, last_step: int) -> Any:
        """Return the learning-rate schedule, stepped once a step; `last_step` is -1 at the start."""
        ...


def engine_of(config: DictConfig) -> Engine:
    """Return the engine of `model.backbone.type`; a task other than classify is refused."""
    if config.task != "classify":
        raise UsageError("task must be classify", value=config.task, hint="task=classify")
    if config.model.backbone.type == BACKBONE_TYPE:
        from deft.tools.visual_changenet.mid_fusion import MidFusion

        return MidFusion(config)
    from deft.tools.visual_changenet.transformer_pair import TransformerPair

    return TransformerPair(config)


def mean_outputs(engine: Engine, network: nn.Module, images: Images, *, rotations: int) -> Floats:
    """Return each row's output, averaged over quarter turns of both images.

    Rows are taken in batches of a fixed size, so that a score does not depend on the spec's batch size.
    """
    import torch

    outputs = np.empty(len(images.test), np.float32)
    with torch.inference_mode():
        for start in range(0, len(outputs), SCORING_BATCH):
            rows = slice(start, start + SCORING_BATCH)
            golden, test = (to_batch(side) for side in images.pairs(rows))
            total = torch.zeros(len(test))
            for turn in range(0, 4, 4 // rotations):
                turned = [torch.rot90(side, turn, (3, 4)) for side in (golden, test)]
                total += engine.outputs(network, turned[0], turned[1]).cpu()
            outputs[rows] = (total / rotations).numpy()
    return outputs


def rates(scores: Floats, is_defect: Flags, margin: float) -> dict[str, float]:
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
