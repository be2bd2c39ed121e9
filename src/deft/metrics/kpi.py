"""The figures of one scored table: the record that is `kpi.json`.

Every ratio is a fraction. A point is {threshold, far, recall, precision, f1, false_alarms, missed}; what a
figure means stands beside it under `rules`. `far_at_100` is the user's figure and hangs on one row, which is
therefore named, and no interval is given for it (confidence.py says why).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from deft.errors import InputRefused
from deft.metrics.confidence import (
    CONFIDENCE,
    RESAMPLES,
    bootstrap_intervals,
    far_bound,
    missed_bound,
    recall_intervals,
)
from deft.metrics.operating_points import (
    FIRST_DATA_ROW,
    Flags,
    Floats,
    OperatingPoint,
    Sweep,
    area_under_curve,
    at_threshold,
    auroc,
    best_f1,
    far_at_recall,
    mean_far,
    operating_point,
    recall_at_far,
    require_both_classes,
    sweep,
)

__all__ = [
    "OperatingPoint",
    "Sweep",
    "at_threshold",
    "auroc",
    "defect_flags",
    "far_at_recall",
    "kpi_figures",
    "mean_far",
    "operating_point",
    "point_record",
    "recall_at_far",
    "sweep",
    "transfer",
]

SCHEMA_VERSION = 2
"""Version 1 gave no interval to recall_at_far_*, best_f1 and per_label; audits let such a record stand."""

RULES = {
    "prediction": "a row is called a defect where its score is above the threshold",
    "far": "false alarms divided by PASS rows",
    "far_at_100": "FAR at the highest threshold that misses no defect of this table; one row decides it",
    "far_at_99_5": "FAR at the highest threshold that keeps 99.5 % of the defects of this table",
    "far_at_99": "FAR at the highest threshold that keeps 99 % of the defects of this table",
    "mean_far_98_100": "FAR averaged over all recalls from 98 to 100 %",
    "auroc": "probability that a defect scores above a PASS row, ties counted half",
    "recall_at_far_1": "recall at the lowest threshold whose FAR is at most 1 %",
    "recall_at_far_0_1": "recall at the lowest threshold whose FAR is at most 0.1 %",
    "best_f1": "the threshold with the highest F1 score, then recall, precision and threshold",
    "per_label": "recall of each defect type at the threshold of recall_at_far_1 and of recall_at_far_0_1",
    "intervals": "two-sided 95 % percentile bootstrap, each class resampled by itself: of the recall for "
    "recall_at_far_* and per_label, of the F1 score for best_f1; none of far_at_100, which one row decides",
    "missed_bound": "Clopper-Pearson, one-sided 95 %: the miss rate that the count leaves possible",
    "far_bound": "Clopper-Pearson, one-sided 95 %: the FAR that the count at far_at_100 leaves possible",
}


RECALLS = {"recall_at_far_1": 0.01, "recall_at_far_0_1": 0.001}


def defect_flags(labels: pd.Series) -> Flags:
    """Return True for each row that is not PASS; a label that is PASS but for case or blanks is refused."""
    texts = labels.astype(str)
    passes = (texts == "PASS").to_numpy(dtype=bool)
    alike = (texts.str.strip().str.upper() == "PASS").to_numpy(dtype=bool) & ~passes
    if alike.any():
        row = int(np.argmax(alike))
        raise InputRefused(
            "a label differs from PASS only by case or blanks",
            value=f"{texts.iloc[row]!r} in row {row + FIRST_DATA_ROW}",
            hint="write PASS exactly: training would take this row for a defect",
        )
    return ~passes


def kpi_figures(table: pd.DataFrame, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Return every figure of a scored table (columns label, siamese_score) as a record fit for JSON.

    Raises InputRefused for a table without rows, with one class only or with a score that is no number.
    """
    is_defect = defect_flags(table["label"])
    points = sweep(table["siamese_score"], is_defect)
    require_both_classes(points)
    return {
        "schema_version": SCHEMA_VERSION,
        "rows": len(table),
        "pass_rows": points.pass_rows,
        "defect_rows": points.defect_rows,
        **_headline(points, table, is_defect),
        **_summaries(points),
        **_bounds(points),
        "per_label": _per_label(points, table, is_defect, resamples, seed),
        "intervals": _intervals(points, resamples, seed),
        "bootstrap": {"resamples": resamples, "seed": seed, "confidence": CONFIDENCE, "stratified": True},
        "rules": RULES,
    }


def _headline(points: Sweep, table: pd.DataFrame, is_defect: Flags) -> dict[str, Any]:
    strictest = point_record(far_at_recall(points, 1.0))
    return {
        "far_at_100": strictest | {"deciding_defect": _deciding_defect(table, is_defect)},
        "far_at_99_5": point_record(far_at_recall(points, 0.995)),
        "far_at_99": point_record(far_at_recall(points, 0.99)),
    }


def _summaries(points: Sweep) -> dict[str, Any]:
    return {
        "mean_far_98_100": mean_far(points),
        "auroc": area_under_curve(points),
        **{name: point_record(recall_at_far(points, far)) for name, far in RECALLS.items()},
        "best_f1": point_record(best_f1(points)),
    }


def point_record(point: OperatingPoint) -> dict[str, Any]:
    """Return a point as a record; an infinite threshold or an undefined ratio is None."""
    ratios = {
        name: _finite(getattr(point, name)) for name in ("threshold", "far", "recall", "precision", "f1")
    }
    return ratios | {"false_alarms": point.fp, "missed": point.fn}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _bounds(points: Sweep) -> dict[str, Any]:
    strictest = far_at_recall(points, 1.0)
    return {
        "missed_bound": _missed_record(strictest),
        "far_bound": _far_record(strictest),
    }


def _missed_record(point: OperatingPoint) -> dict[str, Any]:
    rows = point.tp + point.fn
    bound = missed_bound(point.fn, rows)
    return {"missed": point.fn, "defect_rows": rows, "bound": bound, "confidence": CONFIDENCE}


def _far_record(point: OperatingPoint) -> dict[str, Any]:
    rows = point.fp + point.tn
    bound = far_bound(point.fp, rows)
    return {"false_alarms": point.fp, "pass_rows": rows, "bound": bound, "confidence": CONFIDENCE}


def _deciding_defect(table: pd.DataFrame, is_defect: Flags) -> dict[str, Any]:
    """Describe the defect with the lowest score: it alone sets the threshold at 100 % recall."""
    scores = np.where(is_defect, np.asarray(table["siamese_score"], dtype=np.float64), np.nan)
    position = int(np.nanargmin(scores))
    texts = {
        name: str(table[name].iloc[position])
        for name in ("label", "input_path", "golden_path", "object_name")
        if name in table.columns
    }
    identity = "/".join(texts[name] for name in ("input_path", "object_name") if name in texts)
    return {
        "row": position + FIRST_DATA_ROW,
        "component_id": identity,
        "score": _finite(scores[position]),
        **texts,
    }


def _per_label(
    points: Sweep, table: pd.DataFrame, is_defect: Flags, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    thresholds = {name: recall_at_far(points, far).threshold for name, far in RECALLS.items()}
    scores = np.asarray(table["siamese_score"], dtype=np.float64)
    labels = table["label"].astype(str).str.strip().str.lower().to_numpy()
    records = {}
    for label in np.unique(labels[is_defect]):
        of_label = is_defect & (labels == label)
        alone = (
            ~is_defect | of_label
        )  # PASS rows alone set the threshold of a FAR: other labels do not matter
        intervals = _recall_intervals(sweep(scores[alone], of_label[alone]), resamples, seed)
        records[str(label)] = _label_record(scores[of_label], thresholds) | {"intervals": intervals}
    return records


def _label_record(scores: Floats, thresholds: Mapping[str, float]) -> dict[str, Any]:
    recalls = {name: float(np.mean(scores > threshold)) for name, threshold in thresholds.items()}
    return {"rows": len(scores), **recalls, "lowest_score": _finite(scores.min())}


def _recall_intervals(points: Sweep, resamples: int, seed: int) -> dict[str, list[float]]:
    found = recall_intervals(points, RECALLS, resamples=resamples, seed=seed)
    return {name: list(interval) for name, interval in found.items()}


def _intervals(points: Sweep, resamples: int, seed: int) -> dict[str, list[float]]:
    statistics: dict[str, Callable[[Sweep], float]] = {
        "far_at_99_5": partial(_far_at, recall=0.995),
        "far_at_99": partial(_far_at, recall=0.99),
        "mean_far_98_100": mean_far,
        "auroc": area_under_curve,
        "best_f1": _highest_f1,
    }
    found = bootstrap_intervals(points, statistics, resamples=resamples, seed=seed)
    return {name: list(interval) for name, interval in found.items()} | _recall_intervals(
        points, resamples, seed
    )


def _far_at(points: Sweep, *, recall: float) -> float:
    return far_at_recall(points, recall).far


def _highest_f1(points: Sweep) -> float:
    return float(points.f1.max())


def transfer(validation: pd.DataFrame, kpi: pd.DataFrame, recall: float) -> dict[str, Any]:
    """Calibrate the threshold for `recall` on the validation table and apply it unchanged to the KPI table.

    The figures on the KPI table are then out of sample: `missed_bound` and `far_bound` hold for the line.
    Raises InputRefused where either table lacks a class.
    """
    calibrated = sweep(validation["siamese_score"], defect_flags(validation["label"]))
    require_both_classes(calibrated)
    chosen = far_at_recall(calibrated, recall)
    reached = at_threshold(kpi["siamese_score"], defect_flags(kpi["label"]), chosen.threshold)
    return {
        "calibrated_recall": recall,
        "threshold": _finite(chosen.threshold),
        "validation": point_record(chosen),
        "kpi": point_record(reached),
        "missed_bound": _missed_record(reached),
        "far_bound": _far_record(reached),
    }
