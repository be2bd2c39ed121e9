"""Score a table without judging it, outside a loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deft import files
from deft.platforms.base import Platform, ToolCall
from deft.progress import Progress
from deft.run.evaluation import require_every_score
from deft.steps.experiment import Experiment
from deft.steps.gate import Record, Step

KIND = "infer"
SCORES = "inference.csv"
SHOWN = ("model.backbone.type", "dataset.classify.batch_size", "inference.checkpoint")


@dataclass(frozen=True)
class InferRequest:
    """A spec whose `infer_dataset` is to be scored by `inference.checkpoint`."""

    experiment: Experiment
    platform: str

    def step(self) -> Step:
        """Check the table and the checkpoint and say what would happen."""
        experiment = self.experiment
        table, _ = experiment.split("infer")
        return Step(
            kind=KIND,
            arguments=experiment.arguments(KIND, self.platform),
            inputs=(experiment.spec, table, experiment.file("inference.checkpoint")),
            settings=experiment.settings(*SHOWN),
            results=experiment.results("inference"),
            writes=(SCORES, "status.json", "experiment.yaml", "inference.log"),
            calls={"visual_changenet inference": 1},
            platform=self.platform,
            timestamped=False,
        )

    def work(self, folder: Path, platform: Platform, progress: Progress) -> Record:
        """Score the table."""
        call = inference_call(self.experiment, folder, "infer", self.experiment.file("inference.checkpoint"))
        platform.run([call], progress)
        require_every_score(folder / SCORES, self.experiment.split("infer")[0])
        return {"rows": len(files.read_csv(folder / SCORES)), "scores": SCORES}


def inference_call(experiment: Experiment, folder: Path, split: str, checkpoint: Path) -> ToolCall:
    """Return the call that scores one split of the spec with a checkpoint."""
    table, images = experiment.split(split)
    return experiment.call(
        "inference",
        folder,
        folder / "inference.log",
        inference__checkpoint=checkpoint,
        dataset__classify__infer_dataset__csv_path=table,
        dataset__classify__infer_dataset__images_dir=images,
    )
