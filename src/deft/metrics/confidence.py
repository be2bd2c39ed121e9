"""What a finite table can prove: exact one-sided bounds of rates, and bootstrap intervals of figures.

The bound is Clopper and Pearson's (1934): the rate at which so few events would be seen only with
probability 1 - confidence. The bootstrap resamples each class by itself, so class sizes stay as they are.
It is never used for the false alarm rate at 100 % recall: one row, the weakest defect, decides that figure,
no resample can show a weaker one, and the interval would end at the estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from deft.errors import InputRefused
from deft.metrics.operating_points import RECALL_TOLERANCE, Counts, Floats, Sweep, require_both_classes

CONFIDENCE = 0.95
RESAMPLES = 300
MOST_CELLS = 4_000_000
_BISECTIONS = 60
_SMALLEST = 1e-300
_EPSILON = 1e-15


def missed_bound(missed: int, defects: int, confidence: float = CONFIDENCE) -> float:
    """Return the highest miss rate (a fraction) that `missed` of `defects` rows leave possible."""
    return _upper_bound(missed, defects, confidence, "defect rows")


def far_bound(false_alarms: int, pass_rows: int, confidence: float = CONFIDENCE) -> float:
    """Return the highest false alarm rate (a fraction) that so many alarms on `pass_rows` leave possible."""
    return _upper_bound(false_alarms, pass_rows, confidence, "PASS rows")


def _upper_bound(events: int, trials: int, confidence: float, name: str) -> float:
    if not 0 <= events <= trials or trials == 0:
        raise InputRefused(
            f"a bound needs 0 <= events <= rows and some {name}", value=f"{events} of {trials}"
        )
    if events == trials:
        return 1.0
    low, high = events / trials, 1.0
    for _ in range(_BISECTIONS):
        rate = (low + high) / 2
        likely = _probability_of_at_most(events, trials, rate) > 1 - confidence
        low, high = (rate, high) if likely else (low, rate)
    return (low + high) / 2


def _probability_of_at_most(events: int, trials: int, rate: float) -> float:
    """Return P(X <= events) for X binomial: the regularised incomplete beta at 1 - rate."""
    a, b, x = trials - events, events + 1, 1.0 - rate
    if x in (0.0, 1.0):
        return x
    log_scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1) / (a + b + 2):
        return math.exp(log_scale) * _continued_fraction(a, b, x) / a
    return 1.0 - math.exp(log_scale) * _continued_fraction(b, a, rate) / b


def _continued_fraction(a: int, b: int, x: float) -> float:
    """Evaluate the incomplete beta's continued fraction by Lentz's method (NIST DLMF 8.17.22)."""
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 100 + 10 * math.isqrt(a + b)):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        step = 1.0
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + term * d)
            c = _away_from_zero(1.0 + term / c)
            step *= c * d
        value *= step
        if abs(step - 1.0) < _EPSILON:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _SMALLEST else _SMALLEST


def rows_to_prove(rate: float, confidence: float = CONFIDENCE) -> int:
    """Return how many rows without one event prove that a rate lies below `rate` (a fraction in (0, 1])."""
    if not 0 < rate <= 1:
        raise InputRefused("no number of rows proves this rate", value=rate, hint="ask for a rate above 0")
    return 1 if rate == 1 else math.ceil(math.log(1 - confidence) / math.log1p(-rate))


def bootstrap_intervals(
    points: Sweep,
    statistics: Mapping[str, Callable[[Sweep], float]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> dict[str, tuple[float, float]]:
    """Return the two-sided percentile interval of each statistic over stratified resamples of the rows.

    Seeded: the same sweep gives the same intervals. A statistic may depend on the order of scores only,
    not on their values. Raises InputRefused where a class is absent.
    """
    require_both_classes(points)
    defects, passes = _cells(points)
    generator = np.random.default_rng(seed)
    values = np.empty((resamples, len(statistics)))
    for i in range(resamples):
        resampled = _resample(defects, passes, generator)
        values[i] = [statistic(resampled) for statistic in statistics.values()]
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(statistics)}


def recall_intervals(
    points: Sweep,
    rates: Mapping[str, float],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> dict[str, tuple[float, float]]:
    """Return the interval of the recall at each false alarm rate (a fraction), as `bootstrap_intervals` does.

    All resamples are drawn as one matrix (in blocks, where the table is long): it is done for each label.
    """
    require_both_classes(points)
    defects, passes = _cells(points)
    generator = np.random.default_rng(seed)
    block = max(1, MOST_CELLS // len(passes))
    drawn = [
        _recalls_at(defects, passes, list(rates.values()), min(block, resamples - first), generator)
        for first in range(0, resamples, block)
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(drawn, axis=1), [tail, 1 - tail], axis=1)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(rates)}


def _recalls_at(
    defects: Counts, passes: Counts, rates: Sequence[float], resamples: int, generator: np.random.Generator
) -> Floats:
    """Return the recall at each rate (rows) in each resample (columns)."""
    found, alarms = _left_above(defects, resamples, generator), _left_above(passes, resamples, generator)
    lowest = [np.argmax(alarms <= rate + RECALL_TOLERANCE, axis=1) for rate in rates]
    return np.stack([found[np.arange(resamples), first] for first in lowest])


def _left_above(counts: Counts, resamples: int, generator: np.random.Generator) -> Floats:
    """Return, for each resample, the share of a class above each cell, from below the first one on."""
    total = int(counts.sum())
    drawn = generator.multinomial(total, counts / total, size=resamples)
    return 1 - np.cumsum(np.pad(drawn, ((0, 0), (1, 0))), axis=1) / total


def _cells(points: Sweep) -> tuple[Counts, Counts]:
    """Return the rows of each class per cell, by ascending score.

    Neighbouring scores of one class are one cell: no order statistic can tell them apart, and a resample
    then costs as much as the classes are mixed, not as the table is long.
    """
    defects, passes = np.diff(points.fn, prepend=0), np.diff(points.tn, prepend=0)
    kind = np.where(defects == 0, 0, np.where(passes == 0, 1, 2))
    starts = np.flatnonzero(np.append(True, (kind[1:] != kind[:-1]) | (kind[1:] == 2)))
    return np.add.reduceat(defects, starts), np.add.reduceat(passes, starts)


def _resample(defects: Counts, passes: Counts, generator: np.random.Generator) -> Sweep:
    missed = np.append(0, np.cumsum(_redraw(defects, generator)))
    passed = np.append(0, np.cumsum(_redraw(passes, generator)))
    ranks = np.arange(len(missed), dtype=np.float64)
    return Sweep(ranks, missed[-1] - missed, passed[-1] - passed, passed, missed)


def _redraw(counts: Counts, generator: np.random.Generator) -> Counts:
    total = int(counts.sum())
    return generator.multinomial(total, counts / total)
