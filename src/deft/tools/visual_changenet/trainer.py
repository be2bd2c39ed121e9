"""One training in memory: networks, optimiser, random state, position.

Batches are drawn with replacement at a fixed share of defects, gradients are clipped, and an exponential
average of weights and batch-norm statistics is kept, which scores; the rest of the recipe is the engine's.
"""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from omegaconf import DictConfig

from deft.embedding.pair_network import load_weights, read_checkpoint, to_batch
from deft.errors import InputRefused, StageFailed
from deft.tools.visual_changenet.augmentation import Augmentation
from deft.tools.visual_changenet.checkpoint import write_checkpoint
from deft.tools.visual_changenet.data import Split
from deft.tools.visual_changenet.engine import Engine, mean_outputs, rates

if TYPE_CHECKING:
    from torch import Tensor

GRADIENT_NORM = 5.0


@dataclass
class Position:
    """How far training is, and the sums of the epoch in progress."""

    epoch: int = 0
    step: int = 0
    pairs: int = 0
    loss: float = 0.0
    correct: int = 0
    false_alarms: int = 0


class Trainer:
    """Takes steps, validates, saves; `resume` and `warm_start` set where it begins."""

    def __init__(self, config: DictConfig, engine: Engine, training: Split, validation: Split) -> None:
        import torch

        self.config, self._engine = config, engine
        self.position = Position()
        self.steps_per_epoch = engine.steps_per_epoch(len(training))
        self.total_steps: int = config.train.num_epochs * self.steps_per_epoch
        self._training, self._validation = training, validation
        self._defects = np.flatnonzero(training.is_defect)
        self._passes = np.flatnonzero(~training.is_defect)
        self._require_both_classes()
        seed = config.train.seed if config.train.seed >= 0 else torch.seed() % 2**63
        torch.manual_seed(seed)
        self._generator = torch.Generator().manual_seed(seed)
        self._network = engine.build(pretrained=True)
        self._average = copy.deepcopy(self._network).requires_grad_(False)
        self._set_rate(warm=False)
        self._augmentation = Augmentation(seed, self._generator, training.images.pixels[0].size)

    def _require_both_classes(self) -> None:
        for rows, name in ((self._defects, "defect"), (self._passes, "PASS")):
            if not len(rows):
                raise InputRefused(
                    f"training split has no {name} rows",
                    value=self.config.dataset.classify.train_dataset.csv_path,
                    hint="a classifier needs both",
                )

    def _set_rate(self, *, warm: bool) -> None:
        self._optimizer = self._engine.optimizer(self._network, warm=warm)
        self._schedule = self._new_schedule(last_step=-1)

    def _new_schedule(self, last_step: int) -> Any:
        return self._engine.schedule(self._optimizer, self.total_steps, self.steps_per_epoch, last_step)

    # --- where it begins ---------------------------------------------------------------------

    def warm_start(self, path: Path) -> None:
        """Start a new training from a checkpoint's averaged weights, at the lower warm rate."""
        checkpoint = read_checkpoint(path)
        self._engine.require_same(checkpoint, path)
        load_weights(self._network, checkpoint["state_dict"], path)
        load_weights(self._average, checkpoint["state_dict"], path)
        self._set_rate(warm=True)

    def resume(self, path: Path, checkpoint: dict[str, Any]) -> None:
        """Continue exactly where a checkpoint stood."""
        self._engine.require_same(checkpoint, path)
        training = checkpoint["training"]
        load_weights(self._network, training["weights"], path)
        load_weights(self._average, checkpoint["state_dict"], path)
        self._optimizer.load_state_dict(training["optimizer"])
        self._generator.set_state(training["generator"])
        self.position = Position(**training["position"])
        if self.position.step < self.total_steps:
            self._schedule = self._new_schedule(last_step=self.position.step - 1)

    # --- a step ------------------------------------------------------------------------------

    def step(self) -> None:
        """Draw a batch, take one optimiser step, fold the weights into the average."""
        import torch

        rows = self._draw_rows()
        golden, test = self._images(rows)
        target = torch.from_numpy(self._training.is_defect[rows]).float()
        self._network.train()
        outputs = self._engine.outputs(self._network, golden, test)
        loss = self._engine.loss(outputs, target)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), GRADIENT_NORM)
        self._optimizer.step()
        self._schedule.step()
        self._count(float(loss.detach()), outputs.detach(), target)
        self._update_average()

    def _draw_rows(self) -> npt.NDArray[np.intp]:
        """Draw a batch with replacement at the fixed share of defects, in random order."""
        import torch

        size = self.config.dataset.classify.batch_size
        defects = min(max(round(self._engine.defect_share * size), 1), size - 1)
        drawn = [
            rows[torch.randint(len(rows), (count,), generator=self._generator).numpy()]
            for rows, count in ((self._defects, defects), (self._passes, size - defects))
        ]
        order: npt.NDArray[np.intp] = torch.randperm(size, generator=self._generator).numpy()
        return np.concatenate(drawn)[order]

    def _images(self, rows: npt.NDArray[np.intp]) -> tuple[Tensor, Tensor]:
        golden, test = self._training.images.pairs(rows)
        if self._engine.augments:
            return self._augmentation(golden, test)
        return to_batch(golden), to_batch(test)

    def _count(self, loss: float, outputs: Tensor, target: Tensor) -> None:
        if not math.isfinite(loss):
            raise StageFailed(
                f"training diverged: the loss is not finite at step {self.position.step + 1}",
                value=loss,
                hint="lower the learning rate of the spec, or train in 32-true",
            )
        scores = self._engine.scores(outputs.numpy())
        flagged, is_defect = scores > self._engine.margin, target.numpy() > 0
        self.position.step += 1
        self.position.pairs += len(target)
        self.position.loss += loss * len(target)
        self.position.correct += int((flagged == is_defect).sum())
        self.position.false_alarms += int((flagged & ~is_defect).sum())

    def _update_average(self) -> None:
        import torch

        step = self.position.step - 1
        decay = min(self._engine.average_decay, (1 + step) / (10 + step))
        pairs = zip(self._average.state_dict().values(), self._network.state_dict().values(), strict=True)
        with torch.no_grad():
            for mean, value in pairs:
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - decay)
                else:
                    mean.copy_(value)

    # --- an epoch ----------------------------------------------------------------------------

    def epoch_figures(self) -> dict[str, float]:
        """Return loss, accuracy and false alarms of the epoch's batches, in percent of all pairs."""
        position = self.position
        return {
            "train_loss": position.loss / position.pairs,
            "train_acc": 100 * position.correct / position.pairs,
            "train_fpr": 100 * position.false_alarms / position.pairs,
        }

    def validate(self) -> dict[str, float]:
        """Score the validation split once, unrotated, by the averaged weights."""
        network = self._engine.for_scoring(self._average)
        outputs = mean_outputs(self._engine, network, self._validation.images, rotations=1)
        is_defect = self._validation.is_defect
        found = rates(self._engine.scores(outputs), is_defect, self._engine.margin)
        loss = self._engine.validation_loss(outputs, is_defect)
        return {"val_loss": loss, "val_acc": found["acc"], "val_fpr": found["fpr"]}

    def finish_epoch(self) -> None:
        """Go to the next epoch with empty sums."""
        self.position = Position(epoch=self.position.epoch + 1, step=self.position.step)

    def save(self, folder: Path, records: int, *, interrupted: bool = False) -> None:
        """Write a checkpoint from which training continues exactly, as does status.json after `records`."""
        at_end = self.position.step == self.position.epoch * self.steps_per_epoch
        write_checkpoint(
            folder,
            epoch=self.position.epoch - 1 if at_end else self.position.epoch,
            step=self.position.step,
            settings=self._engine.record(),
            weights=self._average.state_dict(),
            training={
                "weights": self._network.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "generator": self._generator.get_state(),
                "position": asdict(self.position),
                "records": records,
            },
            interrupted=interrupted,
        )
