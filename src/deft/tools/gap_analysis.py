"""`gap_analysis vcn_aoi`: the threshold a scored table allows, and its weakest rows of each label.

It does what the container's command does; where it goes further, references/tao-differences.yaml says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import MISSING, DictConfig

from deft import files
from deft.errors import InputRefused
from deft.metrics.kpi import OperatingPoint
from deft.metrics.weak_samples import (
    ScoredTable,
    UnreachableRecall,
    choose_point,
    expand,
    score_table,
    weakest_rows,
)
from deft.tools.output import say
from deft.untrusted import visible


@dataclass
class GapAnalysisConfig:
    """Keys of `gap_analysis vcn_aoi`; a threshold below 0 means: sweep."""

    inference_results_dir: str = MISSING
    train_config: str = MISSING
    kpi_media_path: str = ""
    threshold: float = -1.0
    min_recall: float = 1.0
    top_k_per_label: int = 50
    results_dir: str = MISSING


@dataclass(frozen=True)
class GapAnalysis:
    """What an analysis found: the operating point, the kept rows weakest first, and their images.

    `weak` has the columns of the table, one row a kept row, and `weakness`; its index is the position in the
    table. `gaps` is the content of kpi_gaps.parquet: one row a kept row and light.
    """

    table: ScoredTable
    point: OperatingPoint
    top_k_per_label: int
    weak: pd.DataFrame
    gaps: pd.DataFrame

    @property
    def threshold(self) -> float:
        """Return the threshold in full precision."""
        return self.point.threshold

    def breakdown(self) -> str:
        """Return the text of weak_samples_breakdown.txt."""
        lines = [
            "Weak samples breakdown by label "
            f"(threshold={self.threshold}, top_k_per_label={self.top_k_per_label})",
            f"Total KPI samples: {len(self.table.rows)}",
            f"Total weak samples kept: {len(self.weak)}",
            "",
        ]
        labels = self.table.labels[self.weak.index]
        for label, rows in self.weak.groupby(labels, sort=False):
            wrong = int((rows["weakness"] > 0).sum())
            share = 100 * len(rows) / len(self.weak)
            counts = f"{wrong} misclassified, {len(rows) - wrong} marginal"
            lines.append(f"  {visible(str(label))}: {len(rows)} ({share:.1f}%) — {counts}")
        return "\n".join(lines) + "\n"

    def metrics(self) -> dict[str, Any]:
        """Return the record that is metrics.json; every ratio is a fraction, None where undefined."""
        point = self.point
        return {
            "precision": point.precision,
            "recall": point.recall,
            "f1": point.f1,
            "confusion_matrix": {"tp": point.tp, "fp": point.fp, "tn": point.tn, "fn": point.fn},
            "per_label": self._per_label(),
            "threshold": _finite(point.threshold),
        }

    def _per_label(self) -> dict[str, dict[str, float | int | None]]:
        columns = pd.DataFrame(
            {"weakness": self.table.weakness(self.threshold), "wrong": self.table.wrong(self.threshold)},
            index=self.table.rows.index,
        )
        groups = columns.groupby(self.table.labels.fillna("NAN"), sort=False)
        return {str(label): _label_record(rows) for label, rows in groups}


def _label_record(rows: pd.DataFrame) -> dict[str, float | int | None]:
    weakness = rows["weakness"]
    return {
        "total": len(rows),
        "mean_weakness": _finite(weakness.mean()),
        "median_weakness": _finite(weakness.median()),
        "max_weakness": _finite(weakness.max()),
        "n_misclassified": int(rows["wrong"].sum()),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


# --- the analysis ----------------------------------------------------------------------------


def analyse(
    table: pd.DataFrame,
    *,
    threshold: float,
    min_recall: float,
    top_k_per_label: int,
    lights: Sequence[str] | None,
    extension: str | None,
    media_path: str | Path,
) -> GapAnalysis:
    """Choose the threshold (or take it, when not negative) and rank the rows of each label by weakness.

    `table` has input_path, object_name, label, siamese_score. `lights` None means images without a suffix.
    Equal weakness keeps the order of the table. Raises InputRefused for a missing column, a score that is no
    number, no rows, or a recall that no threshold reaches.
    """
    scored = score_table(table)
    point = choose_point(scored, threshold, min_recall)
    weak = weakest_rows(scored, point.threshold, top_k_per_label)
    gaps = expand(weak, lights, extension, media_path)
    return GapAnalysis(scored, point, top_k_per_label, weak, gaps)


# --- the command -----------------------------------------------------------------------------


def run(config: DictConfig) -> None:
    """Carry out `gap_analysis vcn_aoi`; what was finished before a failure stays on disk."""
    table = score_table(read_inference(Path(config.inference_results_dir) / "inference.csv"))
    swept = not config.threshold >= 0  # as the choice of the point asks: NaN is no threshold
    point = _chosen_point(table, config)
    results = Path(config.results_dir)
    results.mkdir(parents=True, exist_ok=True)
    if swept:
        _announce(point, files.write_text(results / "threshold.txt", str(point.threshold)))
    lights, extension = read_image_naming(Path(config.train_config))
    weak = weakest_rows(table, point.threshold, config.top_k_per_label)
    gaps = expand(weak, lights, extension, config.kpi_media_path)
    write_results(GapAnalysis(table, point, config.top_k_per_label, weak, gaps), results)


def _chosen_point(table: ScoredTable, config: DictConfig) -> OperatingPoint:
    _warn_of_gaps(table)
    try:
        return choose_point(table, config.threshold, config.min_recall)
    except UnreachableRecall as error:
        files.write_text(Path(config.results_dir) / "unreachable_kpi.txt", error.explanation)
        raise


def _warn_of_gaps(table: ScoredTable) -> None:
    absent, unlabelled = int(np.isnan(table.scores).sum()), int(table.labels.isna().sum())
    if absent:
        say(f"WARNING {absent} rows have no score; they are never called a defect")
    if unlabelled:
        say(f"WARNING {unlabelled} rows have no label; they count as NO_PASS and are not ranked")


def _announce(point: OperatingPoint, path: Path) -> None:
    say(f"Optimal threshold: {point.threshold} (F1={point.f1:.4f}, Precision={point.precision:.4f})")
    say(f"Threshold written to {path}")


def read_inference(path: Path) -> pd.DataFrame:
    """Read inference.csv as pandas does by default, so that types are those the container sees."""
    if not path.is_file():
        raise InputRefused("No such file or directory", value=path, hint="run inference first")
    try:
        return pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise InputRefused(f"inference table is not readable CSV ({error})", value=path) from None


def read_image_naming(train_config: Path) -> tuple[list[str], str | None]:
    """Return the lights in the order written and the image extension of a training spec."""
    node = files.read_yaml(train_config)
    for key in ("dataset", "classify"):
        node = node.get(key) if isinstance(node, dict) else None
    missing = [key for key in ("input_map", "image_ext") if not isinstance(node, dict) or key not in node]
    if missing or node is None:
        raise InputRefused(f"training spec lacks dataset.classify.{missing[0]}", value=train_config)
    if not isinstance(node["input_map"], dict | list):
        raise InputRefused(
            f"dataset.classify.input_map is no list of lights "
            f"({type(node['input_map']).__name__!r} object is not iterable)",
            value=train_config,
            hint="name the lights, as in `input_map: {SolderLight: 0}`",
        )
    return [str(light) for light in node["input_map"]], node["image_ext"]


def write_results(analysis: GapAnalysis, folder: Path) -> None:
    """Write kpi_gaps.parquet, weak_samples_breakdown.txt and metrics.json, and say what they hold."""
    files.write_parquet(folder / "kpi_gaps.parquet", analysis.gaps)
    say(
        f"Selected {len(analysis.weak)} weak samples ({len(analysis.gaps)} per-lighting filepaths) "
        f"from {len(analysis.table.rows)} total "
        f"(threshold={analysis.threshold}, top_k_per_label={analysis.top_k_per_label})"
    )
    say(analysis.breakdown().rstrip("\n"))
    path = files.write_text(folder / "weak_samples_breakdown.txt", analysis.breakdown())
    say(f"Breakdown saved to {path}")
    files.write_json(folder / "metrics.json", analysis.metrics())
