"""Train the comparison network on a spec, outside a loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deft.errors import StageFailed
from deft.platforms.base import Platform
from deft.progress import Progress
from deft.steps.experiment import Experiment
from deft.steps.gate import Record, Step
from deft.workspace.checkpoints import best_checkpoint, latest_checkpoint, validation_losses
from deft.workspace.training_spec import BACKBONE_WEIGHTS, WHOLE_WEIGHTS

KIND = "train"
SHOWN = (
    "model.backbone.type",
    "dataset.classify.batch_size",
    "train.num_epochs",
    "train.seed",
    "train.precision",
)
WARM_STARTS = (*WHOLE_WEIGHTS, BACKBONE_WEIGHTS)


@dataclass(frozen=True)
class TrainRequest:
    """A spec to train on."""

    experiment: Experiment
    platform: str

    def step(self) -> Step:
        """Check the tables and the warm start and say what would happen."""
        experiment = self.experiment
        (training, _), (validation, _) = (experiment.split(name) for name in ("train", "validation"))
        warm = [experiment.file(key) for key in WARM_STARTS if experiment.value(key) is not None]
        return Step(
            kind=KIND,
            arguments=experiment.arguments(KIND, self.platform),
            inputs=(experiment.spec, training, validation, *warm),
            settings=experiment.settings(*SHOWN),
            results=experiment.results("train"),
            writes=("checkpoints", "status.json", "experiment.yaml", "train.log"),
            calls={"visual_changenet train": 1},
            platform=self.platform,
            timestamped=False,
        )

    def work(self, folder: Path, platform: Platform, progress: Progress) -> Record:
        """Train, and name the best checkpoint by validation loss."""
        tables = {}
        for name in ("train", "validation"):
            table, images = self.experiment.split(name)
            tables[f"dataset__classify__{name}_dataset__csv_path"] = table
            tables[f"dataset__classify__{name}_dataset__images_dir"] = images
        log = folder / "train.log"
        platform.run([self.experiment.call("train", folder, log, **tables)], progress)
        losses = validation_losses(folder)
        if not losses:
            raise StageFailed("training finished without one validated epoch", value=log)
        return {
            "checkpoint": str(best_checkpoint(folder)),
            "latest": str(latest_checkpoint(folder)),
            "validation_loss": min(losses.values()),
            "epochs": len(losses),
        }
