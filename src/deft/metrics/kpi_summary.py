"""The two texts of the KPI analysis: summary.txt and the lines on the terminal.

Their wording is an interface: downstream scripts search these lines. Thresholds are printed in full, because
a rounded one, read back, can let a defect pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from deft.metrics.kpi_analysis import KpiAnalysis
from deft.metrics.operating_points import OperatingPoint

METRICS, SUMMARY = "threshold_metrics.csv", "summary.txt"
MISSED = "best_f1_missed_no_pass_samples.csv"
HISTOGRAM = "score_distribution_with_recall_100_threshold.png"
CONFUSION_AT_100, CONFUSION_AT_BEST = "confusion_matrix_recall_100.png", "confusion_matrix_best_f1.png"


def summary_text(analysis: KpiAnalysis, missed: int, pictures: Sequence[str]) -> str:
    """Return summary.txt: the rules, the counts, the two operating points and the files written."""
    name, points = analysis.pass_label, analysis.points
    lines = [
        "AOI inference threshold analysis",
        "",
        "Prediction rule:",
        "  score > threshold => NO_PASS",
        f"  score <= threshold => {name}",
        "",
        "Ground-truth rule:",
        f"  label == {name} => {name}",
        f"  label != {name} => NO_PASS",
        "",
        "Key metric:",
        "  FAR (False Alarm Rate) = FP / (FP + TN)",
        "  = fraction of actual PASS items falsely predicted as NO_PASS",
        "",
        "Threshold search scope:",
        "  all threshold candidates are evaluated on the entire dataset",
        "",
        f"Input score column: {analysis.score_column}",
        f"Total rows: {len(analysis.table)}",
        f"PASS rows: {points.pass_rows}",
        f"NO_PASS rows: {points.defect_rows}",
        "",
        "Best threshold that hits 100% recall:",
        *_point_lines(analysis.at_100),
        "",
        "Best threshold by F1 score:",
        *_point_lines(analysis.best),
        "",
        f"Best F1 threshold missed NO_PASS samples (actual NO_PASS, predicted {name}): {missed}",
        "",
        "Files written:",
        *(f"  {file}" for file in (METRICS, SUMMARY, MISSED, *pictures)),
    ]
    return "\n".join(lines) + "\n"


def _point_lines(point: OperatingPoint | None) -> list[str]:
    if point is None:
        return ["  unavailable because no threshold achieved recall = 1.0"]
    ratios = _ratios(point)
    accuracy = (point.tp + point.tn) / (point.tp + point.fp + point.tn + point.fn)
    return [
        f"  threshold: {point.threshold!r}",
        f"  >>> FAR (False Alarm Rate): {_percent(point.far)}"
        f"  (FP={point.fp} / (FP={point.fp} + TN={point.tn}))",
        *(f"  {key}: {text}" for key, text in ratios.items()),
        f"  accuracy: {accuracy:.6f}",
        "  confusion matrix (rows=actual, cols=predicted; PASS, NO_PASS):",
        f"    TN={point.tn}  FP={point.fp}",
        f"    FN={point.fn}  TP={point.tp}",
    ]


def _ratios(point: OperatingPoint) -> dict[str, str]:
    """Return precision, recall and F1 as text, undefined ones as `nan`."""
    precision = point.precision if point.tp + point.fp else math.nan
    recall = point.recall if point.tp + point.fn else math.nan
    f1 = point.f1 if point.tp else math.nan
    return {"precision": f"{precision:.6f}", "recall": f"{recall:.6f}", "f1": f"{f1:.6f}"}


def _percent(fraction: float) -> str:
    return "nan" if math.isnan(fraction) else f"{fraction:.4%}"


def printed_lines(
    analysis: KpiAnalysis, csv_path: Path, output_dir: Path, missed: int, pictures: Sequence[str]
) -> list[str]:
    """Return what the analysis says on a terminal, line by line."""
    return [
        f"Input CSV: {csv_path}",
        f"Output directory: {output_dir}",
        f"Rows analyzed: {len(analysis.table)}",
        f"PASS rows: {analysis.points.pass_rows}",
        f"NO_PASS rows: {analysis.points.defect_rows}",
        f"100% recall threshold: {_point_text(analysis.at_100)}",
        f"Best F1 threshold: {_point_text(analysis.best)}",
        f"Best F1 missed-NO_PASS review CSV: {output_dir / MISSED} (rows={missed})",
        f"Threshold metrics CSV: {output_dir / METRICS}",
        f"Summary: {output_dir / SUMMARY}",
        *(f"Plot: {output_dir / picture}" for picture in pictures),
    ]


def _point_text(point: OperatingPoint | None) -> str:
    if point is None:
        return "unavailable"
    ratios = ", ".join(f"{key}={text}" for key, text in _ratios(point).items())
    return f"{point.threshold!r} (FAR={_percent(point.far)}, {ratios})"
