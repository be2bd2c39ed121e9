from __future__ import annotations

import math

import numpy as np
import pytest

from deft.errors import InputRefused
from deft.metrics.confidence import (
    bootstrap_intervals,
    far_bound,
    missed_bound,
    recall_intervals,
    rows_to_prove,
)
from deft.metrics.kpi import far_at_recall, mean_far, recall_at_far, sweep


@pytest.mark.parametrize(
    ("missed", "defects", "percent"),
    [(0, 60, 4.87), (0, 600, 0.498), (1, 600, 0.788), (3, 600, 1.287), (6, 600, 1.964), (0, 50, 5.816)],
)
def test_bounds_equal_the_published_clopper_pearson_values(missed: int, defects: int, percent: float) -> None:
    assert 100 * missed_bound(missed, defects) == pytest.approx(percent, abs=0.002)


@pytest.mark.parametrize(("events", "rows"), [(0, 1), (1, 3), (4, 9), (17, 40), (39, 40)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_at_the_bound_so_few_events_are_exactly_as_unlikely_as_promised(
    events: int, rows: int, confidence: float
) -> None:
    rate = missed_bound(events, rows, confidence)
    tail = sum(math.comb(rows, i) * rate**i * (1 - rate) ** (rows - i) for i in range(events + 1))
    assert tail == pytest.approx(1 - confidence, rel=1e-6)


def test_bounds_stay_exact_for_ten_million_rows() -> None:
    assert far_bound(0, 10_000_000) == pytest.approx(-math.log(0.05) / 1e7, rel=1e-4)
    assert far_bound(500_000, 10_000_000) == pytest.approx(
        0.05 + 1.645 * math.sqrt(0.05 * 0.95 / 1e7), rel=1e-4
    )


def test_when_every_row_is_an_event_nothing_is_bounded() -> None:
    assert far_bound(5, 5) == 1.0


@pytest.mark.parametrize(("events", "rows"), [(0, 0), (3, 2), (-1, 2)])
def test_counts_that_cannot_be_are_refused(events: int, rows: int) -> None:
    with pytest.raises(InputRefused, match="bound"):
        missed_bound(events, rows)


def test_about_three_thousand_rows_prove_a_tenth_of_a_percent() -> None:
    assert rows_to_prove(0.001) == 2995
    assert far_bound(0, 2995) < 0.001 < far_bound(0, 2994)


@pytest.mark.parametrize("rate", [0.0, -1.0, 1.5, float("nan")])
def test_no_number_of_rows_proves_a_rate_of_zero(rate: float) -> None:
    with pytest.raises(InputRefused, match="rate"):
        rows_to_prove(rate)


def scored(seed: int = 0, defects: int = 200, passes: int = 800) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    scores = np.append(generator.normal(2.5, 1, defects), generator.normal(0, 1, passes))
    return scores, np.arange(defects + passes) < defects


STATISTICS = {"far_at_99": lambda points: far_at_recall(points, 0.99).far, "mean": mean_far}


def test_the_bootstrap_is_seeded_and_brackets_the_estimate() -> None:
    points = sweep(*scored())
    first, again = bootstrap_intervals(points, STATISTICS), bootstrap_intervals(points, STATISTICS)
    other = bootstrap_intervals(points, STATISTICS, seed=1)
    assert first == again
    assert first != other
    for name, (low, high) in first.items():
        assert low < STATISTICS[name](points) < high


def test_the_bootstrap_agrees_with_one_that_redraws_the_rows_themselves() -> None:
    scores, is_defect = scored()
    generator = np.random.default_rng(7)
    values = []
    for _ in range(600):
        rows = np.append(
            generator.choice(np.flatnonzero(is_defect), is_defect.sum()),
            generator.choice(np.flatnonzero(~is_defect), (~is_defect).sum()),
        )
        values.append(mean_far(sweep(scores[rows], is_defect[rows])))
    expected = np.quantile(values, [0.025, 0.975])
    found = bootstrap_intervals(sweep(scores, is_defect), {"mean": mean_far}, resamples=600)["mean"]
    assert found == pytest.approx(expected, rel=0.15)


def test_resampling_keeps_ties_between_the_classes_and_infinite_scores() -> None:
    points = sweep([-np.inf, -np.inf, 1.0, 1.0], [True, False, True, False])
    seen: set[tuple[int, int]] = set()
    bootstrap_intervals(
        points, {"sizes": lambda drawn: seen.add((drawn.defect_rows, drawn.pass_rows)) or 0.0}, resamples=20
    )
    assert seen == {(2, 2)}
    steps: set[int] = set()
    bootstrap_intervals(points, {"cells": lambda drawn: steps.add(len(drawn.fn)) or 0.0}, resamples=20)
    assert steps == {3}


def test_the_bootstrap_refuses_one_class() -> None:
    with pytest.raises(InputRefused, match="both classes"):
        bootstrap_intervals(sweep([0.1], [True]), STATISTICS)


@pytest.mark.parametrize("cells", [4_000_000, 500])
def test_intervals_of_recalls_are_those_of_the_general_bootstrap(monkeypatch, cells) -> None:
    """Drawn as one matrix or in blocks: the draws differ, what they say does not."""
    monkeypatch.setattr("deft.metrics.confidence.MOST_CELLS", cells)
    points = sweep(*scored())
    rates = {"one": 0.01, "ten": 0.1}
    found = recall_intervals(points, rates, resamples=2000)
    general = bootstrap_intervals(
        points,
        {name: lambda drawn, far=far: recall_at_far(drawn, far).recall for name, far in rates.items()},
        resamples=2000,
        seed=1,
    )
    for name in rates:
        assert found[name] == pytest.approx(general[name], abs=0.03)
    assert recall_intervals(points, rates) == recall_intervals(points, rates)
    with pytest.raises(InputRefused, match="both classes"):
        recall_intervals(sweep([0.1], [True]), rates)
