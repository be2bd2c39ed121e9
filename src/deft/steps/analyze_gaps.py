"""Analyse the gaps of one inference table: the weakest components of each label, with pictures to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from deft import files
from deft.errors import InputRefused, StageFailed
from deft.platforms.base import Platform, ToolCall
from deft.preflight.settings import DEFAULT, USER, Settings
from deft.progress import Progress
from deft.run.spot_check import SAMPLES
from deft.stages.rca import SPEC, spot_check_rows, write_spot_check
from deft.steps.gate import Record, Step, require_files
from deft.workspace.components import component_table, join_gaps
from deft.workspace.rows import ImageLayout, normalise_label

KIND = "analyze-gaps"
REQUIRED = ("input_path", "object_name", "label", "siamese_score")
GAPS, COMPONENTS, UNREACHABLE = "kpi_gaps.parquet", "weak_components.parquet", "unreachable_kpi.txt"
WRITES = (
    SPEC,
    GAPS,
    COMPONENTS,
    "threshold.txt",
    "metrics.json",
    "weak_samples_breakdown.txt",
    "rca_images/",
    SAMPLES,
)
SWEEP = -1.0


@dataclass(frozen=True)
class GapRequest:
    """An inference to analyse: its folder, the training spec and image root of its rows, and the limits."""

    experiment: Path
    train_config: Path
    media_path: Path
    output: Path | None
    platform: str
    threshold: float | None = None
    min_recall: float | None = None
    top_k_per_label: int | None = None

    @property
    def inference(self) -> Path:
        """Return the one table of scores of the experiment."""
        return find_inference(self.experiment)

    def settings(self) -> Settings:
        """Return the limits with their source."""
        return {
            "threshold": _chosen(self.threshold, SWEEP),
            "min_recall": _chosen(self.min_recall, 1.0),
            "top_k_per_label": _chosen(self.top_k_per_label, 50),
        }

    def step(self) -> Step:
        """Check the table and say what would happen."""
        require_files([self.train_config])
        self._require_images()
        return Step(
            kind=KIND,
            arguments=self._arguments(),
            inputs=(self.inference, self.train_config),
            settings=self.settings(),
            results=(self.output or self.experiment) / "rca_results",
            writes=WRITES,
            calls={"gap_analysis vcn_aoi": 1},
            platform=self.platform,
        )

    def _arguments(self) -> tuple[str, ...]:
        given = {
            "--train-config": self.train_config,
            "--media-path": self.media_path,
            "--threshold": self.threshold,
            "--min-recall": self.min_recall,
            "--top-k-per-label": self.top_k_per_label,
            "--output": self.output,
            "--platform": self.platform,
        }
        options = [word for name, value in given.items() if value is not None for word in (name, str(value))]
        return (KIND, str(self.experiment), *options)

    def work(self, folder: Path, platform: Platform, progress: Progress) -> Record:
        """Run the analysis, then draw the ten pictures; an unreachable recall is told, not raised."""
        try:
            platform.run([self._call(folder)], progress)
        except StageFailed:
            if not (folder / UNREACHABLE).is_file():
                raise
            return {"unreachable": " ".join((folder / UNREACHABLE).read_text().split())}
        gaps = files.read_parquet(folder / GAPS)
        weak = join_gaps(gaps, self._components())
        files.write_parquet(folder / COMPONENTS, weak)
        weakest = spot_check_rows(weak)
        write_spot_check(weakest, folder)
        return {
            "threshold": files.read_json(folder / "metrics.json")["threshold"],
            "weak_components": len(weak),
            "misclassified": int((weak["weakness"] > 0).sum()),
            "pictures": len(weakest),
        }

    def _call(self, folder: Path) -> ToolCall:
        spec = {
            "inference_results_dir": str(self.inference.parent),
            "train_config": str(self.train_config),
            "kpi_media_path": str(self.media_path),
            **{name: setting["value"] for name, setting in self.settings().items()},
        }
        return ToolCall(
            category="gap_analysis",
            action="vcn_aoi",
            spec=files.write_yaml(folder / SPEC, spec),
            overrides={"results_dir": folder},
            reads=(self.inference.parent, self.train_config.parent, self.media_path),
            writes=folder,
            log=folder / "gap_analysis.log",
            title=KIND,
        )

    def _components(self) -> pd.DataFrame:
        """Return the rows with their images; `golden_filepath` is empty where there is no such file."""
        table = files.read_csv(self.inference, required=REQUIRED)
        for label in table["label"].unique():
            normalise_label(str(label))
        has_goldens = "golden_path" in table
        goldens = table["golden_path"] if has_goldens else table["input_path"]
        components = component_table(table.assign(golden_path=goldens), self.media_path, self._layout())
        there = [
            path if has_goldens and Path(path).is_file() else "" for path in components["golden_filepath"]
        ]
        return components.assign(golden_filepath=there)

    def _layout(self) -> ImageLayout:
        """Return how images are named; a file that is no spec is refused."""
        spec = files.read_yaml(self.train_config)
        if not isinstance(spec, dict):
            raise InputRefused(
                "training spec is not a mapping of keys",
                value=self.train_config,
                hint="--train-config SPEC.yaml, the spec that the model was trained on",
            )
        return ImageLayout.from_spec(spec)

    def _require_images(self) -> None:
        components = self._components()
        if components.empty:
            raise InputRefused("table has no rows", value=self.inference)
        first = Path(components["filepath"].iloc[0])
        if not first.is_file():
            raise InputRefused(
                "image of the first row does not exist", value=first, hint="check --media-path"
            )


def _chosen(given: Any, default: Any) -> dict[str, Any]:
    return {"value": default if given is None else given, "source": DEFAULT if given is None else USER}


def find_inference(experiment: Path) -> Path:
    """Return the `inference.csv` of an experiment: in it, in `inference/`, or in the one folder below."""
    for pattern in ("inference.csv", "inference/inference.csv", "inference/*/inference.csv"):
        found = sorted(experiment.glob(pattern))
        if len(found) > 1:
            listed = ", ".join(path.parent.name for path in found)
            raise InputRefused(
                f"experiment holds several inferences ({listed})",
                value=experiment,
                hint=f"name one: deft {KIND} {found[0].parent} --output {experiment}",
            )
        if found:
            return found[0]
    raise InputRefused("experiment holds no inference.csv", value=experiment, hint="deft infer SPEC")
