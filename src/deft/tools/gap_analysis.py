"""`gap_analysis vcn_aoi`: the threshold a scored table allows, and its weakest rows of each label.

It does what the container's command does; where it goes further, references/tao-differences.yaml says so.
Weakness is how far a score lies on the wrong side of the threshold: score - threshold for PASS rows,
threshold - score for all others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from omegaconf import MISSING, DictConfig

from deft import files
from deft.errors import InputRefused
from deft.metrics.kpi import OperatingPoint, Sweep, operating_point, sweep
from deft.metrics.operating_points import RECALL_TOLERANCE
from deft.tools.output import say

GAP_COLUMNS = ("filepath", "label", "siamese_score", "weakness")


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
class ScoredTable:
    """A scored table, with a score, a class and an upper-cased label (missing ones stay missing) a row."""

    rows: pd.DataFrame
    scores: npt.NDArray[np.float64]
    is_defect: npt.NDArray[np.bool_]
    labels: pd.Series[Any]

    def weakness(self, threshold: float) -> npt.NDArray[np.float64]:
        """Return how far each score lies on the wrong side of a threshold; NaN for a NaN score."""
        distance = self.scores - threshold
        return np.where(self.is_defect, -distance, distance)

    def wrong(self, threshold: float) -> npt.NDArray[np.bool_]:
        """Return which rows are misclassified; a defect at the threshold, or without a score, is missed."""
        wrong: npt.NDArray[np.bool_] = (self.scores > threshold) != self.is_defect
        return wrong


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
            lines.append(
                f"  {label}: {len(rows)} ({share:.1f}%) — {wrong} misclassified, {len(rows) - wrong} marginal"
            )
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


def score_table(table: pd.DataFrame) -> ScoredTable:
    """Read class and score of each row; a missing column or a score that is no number is refused."""
    _require(table, "label", "siamese_score")
    rows = table.reset_index(drop=True)
    try:
        scores = rows["siamese_score"].to_numpy(dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise InputRefused(f"a score is not a number ({error})", hint="run inference again") from None
    labels = rows["label"].astype(str).str.strip().str.upper()
    return ScoredTable(rows, scores, ~(labels == "PASS").to_numpy(dtype=np.bool_), labels)


def _require(table: pd.DataFrame, *columns: str) -> None:
    missing = [repr(column) for column in columns if column not in table.columns]
    if missing:
        raise InputRefused(
            f"inference table lacks the column {', '.join(missing)}",
            value=", ".join(map(str, table.columns)),
            hint="column names are case-sensitive; write them as inference does",
        )


def choose_point(table: ScoredTable, threshold: float, min_recall: float) -> OperatingPoint:
    """Return the point at a given threshold, or, when it is negative, the best that keeps `min_recall`.

    Raises InputRefused for a table without rows, UnreachableRecall when no threshold keeps the recall.
    """
    if threshold >= 0:
        return _point_at(table, threshold)
    if len(table.rows) == 0:
        raise InputRefused(
            "inference table contains no rows.", hint="run inference again and look at its log"
        )
    points = sweep_table(table)
    if points.defect_rows == 0 or points.recall.max() < min_recall - RECALL_TOLERANCE:
        raise UnreachableRecall(points, min_recall)
    return operating_point(points, min_recall)


class UnreachableRecall(InputRefused):
    """No threshold keeps the recall that was asked for; `explanation` says what can be reached and why."""

    def __init__(self, points: Sweep, min_recall: float) -> None:
        fact = f"No threshold achieves {min_recall:.0%} recall on the NO_PASS class."
        super().__init__(fact, hint=_reachable(points))
        self.explanation = f"Unreachable KPI\n{fact}\n{_reachable(points)}\n"


def _reachable(points: Sweep) -> str:
    rows = f"{points.defect_rows} NO_PASS and {points.pass_rows} PASS rows"
    if points.defect_rows == 0:
        return f"The table has {rows}: without NO_PASS rows recall is undefined; add labelled defects."
    best = operating_point(points, float(points.recall.max()))
    return (
        f"The highest recall that this model reaches on {rows} is {best.recall!r} "
        f"({best.tp} defects found, {best.fn} missed, {best.fp} false alarms) "
        f"at threshold {best.threshold!r}; a defect without a score is always missed."
    )


def sweep_table(table: ScoredTable) -> Sweep:
    """Sweep the thresholds of a table whose NaN scores are never called a defect (the container's rule)."""
    absent = np.isnan(table.scores)
    if absent.all():
        return _counted(np.array([np.nan]), table)
    points = sweep(table.scores[~absent], table.is_defect[~absent])
    missed = int(np.count_nonzero(absent & table.is_defect))
    passed = int(np.count_nonzero(absent)) - missed
    return Sweep(points.thresholds, points.tp, points.fp, points.tn + passed, points.fn + missed)


def _point_at(table: ScoredTable, threshold: float) -> OperatingPoint:
    return _counted(np.array([threshold]), table).point(0)


def _counted(threshold: npt.NDArray[np.float64], table: ScoredTable) -> Sweep:
    flagged = table.scores > threshold
    tp, fp = np.count_nonzero(flagged & table.is_defect), np.count_nonzero(flagged & ~table.is_defect)
    defects = np.count_nonzero(table.is_defect)
    counts = (tp, fp, len(flagged) - defects - fp, defects - tp)
    return Sweep(threshold, *(np.array([count]) for count in counts))


def weakest_rows(table: ScoredTable, threshold: float, top_k_per_label: int) -> pd.DataFrame:
    """Return the `top_k_per_label` weakest rows of each label, weakest first; equal ones in table order.

    A negative number drops as many of the strongest rows of each label. Rows without a label are left out.
    """
    _require(table.rows, "input_path", "object_name")
    weighed = table.rows.assign(siamese_score=table.scores, weakness=table.weakness(threshold))
    ranked = weighed.sort_values("weakness", ascending=False, kind="stable")
    return ranked.groupby(table.labels, sort=False).head(top_k_per_label)


def expand(
    weak: pd.DataFrame, lights: Sequence[str] | None, extension: str | None, media_path: str | Path
) -> pd.DataFrame:
    """Return one row an image of the kept rows: filepath, label, siamese_score, weakness."""
    suffixes = [""] if lights is None else [f"_{light}" for light in lights]
    root = Path(media_path)
    columns = [weak[name] for name in ("input_path", "object_name", *GAP_COLUMNS[1:])]
    records = [
        (str(root / str(folder) / f"{name}{suffix}{extension}"), str(label).strip(), score, weakness)
        for folder, name, label, score, weakness in zip(*columns, strict=True)
        for suffix in suffixes
    ]
    if not records:
        return pd.DataFrame({column: pd.Series(dtype=object) for column in GAP_COLUMNS})
    gaps = pd.DataFrame(records, columns=list(GAP_COLUMNS))
    return gaps.astype({"filepath": object, "label": object})


# --- the command -----------------------------------------------------------------------------


def run(config: DictConfig) -> None:
    """Carry out `gap_analysis vcn_aoi`; what was finished before a failure stays on disk."""
    table = score_table(read_inference(Path(config.inference_results_dir) / "inference.csv"))
    swept = config.threshold < 0
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
