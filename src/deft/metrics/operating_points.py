"""The threshold sweep: every distinct operating point of a scored table, by one sort.

NO_PASS is predicted where score > threshold. Candidates are the next double below the smallest score and
every distinct score (contracts/tao-commands.md section 1); nothing between two of them predicts otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from deft.errors import InputRefused

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

RECALL_TOLERANCE = 1e-12
FIRST_DATA_ROW = 2  # rows are numbered as a spreadsheet numbers them: the header is row 1


@dataclass(frozen=True)
class OperatingPoint:
    """One threshold and what it does; undefined ratios are 0, but `far` without PASS rows is NaN."""

    threshold: float
    far: float
    recall: float
    precision: float
    f1: float
    tp: int
    fp: int
    tn: int
    fn: int


@dataclass(frozen=True)
class Sweep:
    """Confusion counts at every candidate threshold, ascending: arrays of one length, at least 1."""

    thresholds: Floats
    tp: Counts
    fp: Counts
    tn: Counts
    fn: Counts

    @property
    def defect_rows(self) -> int:
        return int(self.tp[0] + self.fn[0])

    @property
    def pass_rows(self) -> int:
        return int(self.fp[0] + self.tn[0])

    @cached_property
    def recall(self) -> Floats:
        return _ratio(self.tp, self.tp + self.fn, undefined=0.0)

    @cached_property
    def precision(self) -> Floats:
        return _ratio(self.tp, self.tp + self.fp, undefined=0.0)

    @cached_property
    def far(self) -> Floats:
        return _ratio(self.fp, self.fp + self.tn, undefined=np.nan)

    @cached_property
    def f1(self) -> Floats:
        return _ratio(2 * self.precision * self.recall, self.precision + self.recall, undefined=0.0)

    def point(self, i: int) -> OperatingPoint:
        """Return the operating point at a candidate, by its position."""
        return OperatingPoint(
            threshold=float(self.thresholds[i]),
            far=float(self.far[i]),
            recall=float(self.recall[i]),
            precision=float(self.precision[i]),
            f1=float(self.f1[i]),
            tp=int(self.tp[i]),
            fp=int(self.fp[i]),
            tn=int(self.tn[i]),
            fn=int(self.fn[i]),
        )


def _ratio(numerator: Counts | Floats, denominator: Counts | Floats, *, undefined: float) -> Floats:
    values = np.full(numerator.shape, undefined, dtype=np.float64)
    np.divide(numerator, denominator, out=values, where=denominator > 0)
    return values


def sweep(scores: npt.ArrayLike, is_defect: npt.ArrayLike) -> Sweep:
    """Count hits and false alarms at every candidate threshold, in O(N log N).

    `scores` and `is_defect` have one entry a row. Raises InputRefused without rows and for a NaN score,
    naming the row (the header is row 1); infinite scores are ordinary.
    """
    ordered, defects = _by_score(scores, is_defect)
    last_of_score = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    missed = np.cumsum(defects, dtype=np.int64)[last_of_score]
    passed = (last_of_score + 1) - missed
    below = np.nextafter(ordered[0], -np.inf)
    missed, passed = np.append(0, missed), np.append(0, passed)
    thresholds = np.append(below, ordered[last_of_score])
    if below == ordered[0]:  # the smallest score is -inf: nothing lies below it
        thresholds, missed, passed = thresholds[1:], missed[1:], passed[1:]
    total = int(np.count_nonzero(defects))
    return Sweep(thresholds, total - missed, len(ordered) - total - passed, passed, missed)


def _by_score(scores: npt.ArrayLike, is_defect: npt.ArrayLike) -> tuple[Floats, Flags]:
    values, defects = _checked(scores, is_defect)
    order = np.argsort(values)
    return values[order], defects[order]


def _checked(scores: npt.ArrayLike, is_defect: npt.ArrayLike) -> tuple[Floats, Flags]:
    values, defects = _numbers(scores), np.asarray(is_defect, dtype=np.bool_)
    if len(values) == 0:
        raise InputRefused("the scored table has no rows", hint="run inference again and look at its log")
    absent = np.flatnonzero(np.isnan(values))
    if len(absent):
        raise InputRefused(
            f"{len(absent)} of {len(values)} scores are not a number",
            value=f"the first is in row {absent[0] + FIRST_DATA_ROW}",
            hint="score the table again: a NaN is never predicted as a defect, so it would hide one",
        )
    return values, defects


def _numbers(scores: npt.ArrayLike) -> Floats:
    try:
        return np.asarray(scores, dtype=np.float64)
    except ValueError:
        bad = next(
            (row, cell) for row, cell in enumerate(np.asarray(scores), FIRST_DATA_ROW) if not _is_number(cell)
        )
        raise InputRefused(
            "a score is not a number", value=f"{bad[1]!r} in row {bad[0]}", hint="score the table again"
        ) from None


def _is_number(cell: object) -> bool:
    try:
        float(str(cell))
    except ValueError:
        return False
    return True


def at_threshold(scores: npt.ArrayLike, is_defect: npt.ArrayLike, threshold: float) -> OperatingPoint:
    """Return what a given threshold does to a scored table; same errors as `sweep`."""
    values, defects = _checked(scores, is_defect)
    flagged = values > threshold
    tp, fp = np.count_nonzero(flagged & defects), np.count_nonzero(flagged & ~defects)
    total = np.count_nonzero(defects)
    counts = (tp, fp, len(values) - total - fp, total - tp)
    return Sweep(np.array([threshold], dtype=np.float64), *(np.array([count]) for count in counts)).point(0)


def operating_point(points: Sweep, min_recall: float) -> OperatingPoint:
    """Return the best point by (F1, precision, threshold) among those that keep `min_recall` (a fraction).

    Gap analysis chooses its threshold by this rule (contracts/tao-commands.md section 1). Raises
    InputRefused when no candidate keeps it: without NO_PASS rows, or for a recall above 1.
    """
    return _best(points, _keeping(points, min_recall), points.f1, points.precision)


def best_f1(points: Sweep) -> OperatingPoint:
    """Return the best point by (F1, recall, precision, threshold): recall comes second here.

    The KPI analysis chooses so (contracts/tao-commands.md section 7b); an undefined ratio loses to 0.
    """
    precision = np.where(points.tp + points.fp > 0, points.precision, -np.inf)
    return _best(points, np.arange(len(points.thresholds)), points.f1, points.recall, precision)


def _best(points: Sweep, kept: npt.NDArray[np.intp], *columns: Floats) -> OperatingPoint:
    for column in columns:
        kept = kept[column[kept] == column[kept].max()]
    return points.point(int(kept[-1]))


def far_at_recall(points: Sweep, recall: float) -> OperatingPoint:
    """Return the highest threshold that keeps `recall` (a fraction): the fewest false alarms at that recall.

    Raises InputRefused when no candidate keeps it.
    """
    return points.point(int(_keeping(points, recall)[-1]))


def _keeping(points: Sweep, recall: float) -> npt.NDArray[np.intp]:
    kept = np.flatnonzero(points.recall >= recall - RECALL_TOLERANCE)
    if points.defect_rows == 0 or len(kept) == 0:
        raise InputRefused(
            f"No threshold achieves {recall:.6g} recall on the NO_PASS class",
            value=f"{points.defect_rows} NO_PASS rows, {points.pass_rows} PASS rows",
            hint="add NO_PASS rows to the table, or ask for a recall of at most 1",
        )
    return kept


def recall_at_far(points: Sweep, far: float) -> OperatingPoint:
    """Return the lowest threshold whose false alarm rate is at most `far` (a fraction).

    No other threshold finds more defects at that rate; needs both classes.
    """
    require_both_classes(points)
    return points.point(int(np.argmax(points.far <= far + RECALL_TOLERANCE)))


def mean_far(points: Sweep, low: float = 0.98, high: float = 1.0) -> float:
    """Average the false alarm rate over the recalls between `low` and `high` (fractions), exactly.

    The rate at a recall is that of `far_at_recall`: a step function, integrated step by step. Raises
    InputRefused where a class is absent.
    """
    require_both_classes(points)
    edges = np.clip(points.recall, low, high)
    return float(points.far[:-1] @ (edges[:-1] - edges[1:]) / (high - low))


def auroc(scores: npt.ArrayLike, is_defect: npt.ArrayLike) -> float:
    """Return the probability that a defect outscores a PASS row, ties counted half; needs both classes."""
    return area_under_curve(sweep(scores, is_defect))


def area_under_curve(points: Sweep) -> float:
    """Return the area under recall against false alarm rate of a sweep; needs both classes."""
    require_both_classes(points)
    twice = (points.fp[:-1] - points.fp[1:]) @ (points.tp[:-1] + points.tp[1:])
    return float(twice) / (2.0 * points.defect_rows * points.pass_rows)


def require_both_classes(points: Sweep) -> None:
    """Refuse a sweep of one class: no rate can be traded against another."""
    if points.defect_rows == 0 or points.pass_rows == 0:
        raise InputRefused(
            "the table needs rows of both classes, PASS and NO_PASS",
            value=f"{points.pass_rows} PASS rows, {points.defect_rows} NO_PASS rows",
            hint="check the label column: PASS is written exactly so, every other text is a defect",
        )
