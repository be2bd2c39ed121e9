"""The weak rows of a scored table: the threshold it allows, and how far each row lies on the wrong side.

Weakness is score - threshold for PASS rows and threshold - score for all others: above 0 the row is
misclassified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deft.errors import InputRefused
from deft.metrics.kpi import OperatingPoint, Sweep, operating_point, sweep
from deft.metrics.operating_points import RECALL_TOLERANCE

GAP_COLUMNS = ("filepath", "label", "siamese_score", "weakness")


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


def weakest_targets(gaps: pd.DataFrame, passes: int | None, defects: int | None) -> pd.DataFrame:
    """Return the weakest PASS components and the weakest others, weakest first; None keeps all of a side."""
    ordered = gaps.sort_values("weakness", ascending=False, kind="stable")
    is_pass = ordered["label"] == "PASS"
    sides = ((ordered[is_pass], passes), (ordered[~is_pass], defects))
    kept = [side if limit is None else side.head(limit) for side, limit in sides]
    return pd.concat(kept, ignore_index=True)
