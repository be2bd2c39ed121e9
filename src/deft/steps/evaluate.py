"""Score a labelled table and compute its figures, outside a loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deft.metrics.kpi_files import RECORD, analyze
from deft.platforms.base import Platform
from deft.progress import Progress
from deft.run.evaluation import require_every_score
from deft.steps.experiment import Experiment
from deft.steps.gate import Record, Step
from deft.steps.infer import SCORES, inference_call

KIND = "evaluate"
SHOWN = ("model.backbone.type", "dataset.classify.batch_size", "evaluate.checkpoint")
FIGURES = ("far_at_100", "far_at_99_5", "far_at_99")


@dataclass(frozen=True)
class EvaluateRequest:
    """A spec whose `test_dataset` is to be judged by `evaluate.checkpoint`."""

    experiment: Experiment
    platform: str

    def step(self) -> Step:
        """Check the table and the checkpoint and say what would happen."""
        experiment = self.experiment
        table, _ = experiment.split("test")
        return Step(
            kind=KIND,
            arguments=experiment.arguments(KIND, self.platform),
            inputs=(experiment.spec, table, experiment.file("evaluate.checkpoint")),
            settings=experiment.settings(*SHOWN),
            results=experiment.results("evaluate"),
            writes=(f"inference/{SCORES}", RECORD, "summary.txt", "threshold_metrics.csv", "figures"),
            calls={"visual_changenet evaluate": 1, "visual_changenet inference": 1},
            platform=self.platform,
            timestamped=False,
        )

    def work(self, folder: Path, platform: Platform, progress: Progress) -> Record:
        """Take the rates at the spec's margin, then every score, and compute the figures from these."""
        experiment = self.experiment
        checkpoint = experiment.file("evaluate.checkpoint")
        table, images = experiment.split("test")
        rates = experiment.call(
            "evaluate",
            folder,
            folder / "evaluate.log",
            evaluate__checkpoint=checkpoint,
            dataset__classify__test_dataset__csv_path=table,
            dataset__classify__test_dataset__images_dir=images,
        )
        scores = inference_call(experiment, folder / "inference", "test", checkpoint)
        platform.run([rates, scores], progress)
        require_every_score(folder / "inference" / SCORES, table)
        kpi = analyze(folder / "inference" / SCORES, folder)["kpi"]
        far = {name: kpi[name]["far"] for name in FIGURES if name in kpi}
        return {"rows": kpi["rows"], **far, "auroc": kpi.get("auroc"), "figures": RECORD}
