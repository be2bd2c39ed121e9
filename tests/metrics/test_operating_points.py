"""The sweep against a slow, literal reading of contracts/tao-commands.md section 1."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deft.errors import InputRefused
from deft.metrics.kpi import (
    at_threshold,
    auroc,
    far_at_recall,
    mean_far,
    operating_point,
    recall_at_far,
    sweep,
)

ROWS = st.lists(
    st.tuples(st.sampled_from([-1.0, 0.0, 0.1, 0.25, 0.5, 0.75, 2.0]), st.booleans()), min_size=1, max_size=30
)


def literal_sweep(scores: list[float], is_defect: list[bool]) -> list[tuple[float, int, int, int, int]]:
    candidates = [float(np.nextafter(min(scores), -np.inf)), *sorted(set(scores))]
    rows = list(zip(scores, is_defect, strict=True))
    return [
        (
            t,
            sum(d and s > t for s, d in rows),
            sum(not d and s > t for s, d in rows),
            sum(not d and s <= t for s, d in rows),
            sum(d and s <= t for s, d in rows),
        )
        for t in candidates
    ]


def literal_choice(points: list[tuple[float, int, int, int, int]], min_recall: float) -> float:
    def rank(point: tuple[float, int, int, int, int]) -> tuple[float, float, float]:
        t, tp, fp, _, fn = point
        p, r = tp / (tp + fp) if tp + fp else 0.0, tp / (tp + fn) if tp + fn else 0.0
        return (2 * p * r / (p + r) if p + r else 0.0, p, t)

    kept = [point for point in points if point[1] / (point[1] + point[4]) >= min_recall - 1e-12]
    return max(kept, key=rank)[0]


@given(ROWS, st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]))
def test_the_sweep_and_the_choice_equal_the_literal_contract(
    rows: list[tuple[float, bool]], min_recall: float
) -> None:
    scores, is_defect = [row[0] for row in rows], [row[1] for row in rows]
    points, expected = sweep(scores, is_defect), literal_sweep(scores, is_defect)
    found = zip(points.thresholds, points.tp, points.fp, points.tn, points.fn, strict=True)
    assert list(found) == expected
    if any(is_defect):
        assert operating_point(points, min_recall).threshold == literal_choice(expected, min_recall)


@given(ROWS)
def test_auroc_equals_the_share_of_ordered_pairs(rows: list[tuple[float, bool]]) -> None:
    bad, good = [s for s, d in rows if d], [s for s, d in rows if not d]
    if bad and good:
        pairs = [1.0 if b > g else 0.5 if b == g else 0.0 for b in bad for g in good]
        assert auroc(*zip(*rows, strict=True)) == pytest.approx(np.mean(pairs))


@given(ROWS, st.sampled_from([(0.0, 1.0), (0.5, 0.8), (0.98, 1.0)]))
def test_mean_far_equals_the_average_over_a_fine_grid_of_recalls(
    rows: list[tuple[float, bool]], band: tuple[float, float]
) -> None:
    points = sweep(*zip(*rows, strict=True))
    if points.defect_rows and points.pass_rows:
        middles = band[0] + (np.arange(2000) + 0.5) / 2000 * (band[1] - band[0])
        expected = np.mean([far_at_recall(points, recall).far for recall in middles])
        assert mean_far(points, *band) == pytest.approx(expected, abs=0.02)


def test_a_clean_gap_puts_the_threshold_on_the_largest_pass_score() -> None:
    points = sweep([0.1, 0.3, 0.7, 0.9], [False, False, True, True])
    assert operating_point(points, 1.0).threshold == 0.3
    assert operating_point(points, 1.0).far == 0.0


def test_a_defect_on_the_threshold_is_missed() -> None:
    assert at_threshold([0.5, 0.2], [True, False], 0.5).fn == 1
    assert at_threshold([0.5, 0.2], [True, False], np.nextafter(0.5, 0)).fn == 0


def test_far_at_recall_takes_the_highest_threshold_that_keeps_the_recall() -> None:
    scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    points = sweep(scores, [True, False, True, False, False, True])
    assert far_at_recall(points, 1.0).far == 1.0
    assert far_at_recall(points, 2 / 3).threshold == 0.2
    assert far_at_recall(points, 2 / 3).fp == 2


def test_recall_at_far_finds_as_many_defects_as_the_rate_allows() -> None:
    points = sweep([0.1, 0.2, 0.3, 0.4], [True, False, True, False])
    assert recall_at_far(points, 0.5).recall == 0.5
    assert recall_at_far(points, 0.5).threshold == 0.2
    assert recall_at_far(points, 0.0).recall == 0.0


def test_infinite_scores_are_ordinary() -> None:
    points = sweep([-np.inf, 0.0, np.inf], [True, False, True])
    assert points.thresholds[0] == -np.inf
    assert far_at_recall(points, 0.5).far == 0.0
    assert points.fn[0] == 1


def test_a_nan_score_is_refused_with_its_row() -> None:
    with pytest.raises(InputRefused, match="row 3"):
        sweep([0.1, float("nan"), 0.2], [True, False, False])


@pytest.mark.parametrize("cell", ["", "x1"])
def test_a_score_that_is_text_is_refused_with_its_row(cell: str) -> None:
    with pytest.raises(InputRefused, match="row 4"):
        sweep(pd.Series(["0.5", "0.25", cell]), [True, False, False])


def test_scores_read_as_text_keep_every_digit() -> None:
    texts = ["0.30000000000000004", "0.3"]
    assert sweep(pd.Series(texts), [True, False]).thresholds[-1] == 0.30000000000000004


def test_no_rows_are_refused() -> None:
    with pytest.raises(InputRefused, match="no rows"):
        sweep([], [])


@pytest.mark.parametrize("recall", [1.0, 1.5])
def test_an_unreachable_recall_is_refused_with_the_counts(recall: float) -> None:
    points = sweep([0.1, 0.2], [recall > 1, False])
    with pytest.raises(InputRefused, match="No threshold achieves"):
        operating_point(points, recall)


@pytest.mark.parametrize("measure", [mean_far, lambda points: recall_at_far(points, 0.1)])
def test_one_class_alone_has_no_trade_off(measure: object) -> None:
    with pytest.raises(InputRefused, match="both classes"):
        measure(sweep([0.1, 0.2], [True, True]))  # type: ignore[operator]


def test_a_point_without_pass_rows_has_no_false_alarm_rate() -> None:
    assert np.isnan(operating_point(sweep([0.1], [True]), 1.0).far)


def test_a_million_rows_are_swept() -> None:
    """Work that grew with rows times thresholds would take days, and meet the limit of every test."""
    generator = np.random.default_rng(0)
    scores, is_defect = generator.random(1_000_000), generator.random(1_000_000) < 0.01
    point = operating_point(sweep(scores, is_defect), 1.0)
    assert point.threshold < scores[is_defect].min()


def gap_thresholds(shared: Path) -> list[tuple[str, Path, float, float]]:
    cases = []
    for folder in sorted((shared / "fixtures" / "tao" / "gap").iterdir()):
        for text in folder.glob("expected/**/threshold.txt"):
            arguments = json.loads((folder / "args.json").read_text())["argv"]
            recalls = [float(text.split("=")[1]) for text in arguments if text.startswith("min_recall=")]
            table = next(folder.glob("input/**/inference.csv"))
            cases.append((folder.name, table, (recalls or [1.0])[-1], float(text.read_text())))
    return cases


def test_every_recorded_threshold_of_the_original_gap_analysis_is_found(shared: Path) -> None:
    cases = gap_thresholds(shared)
    assert len(cases) >= 30
    for name, path, min_recall, expected in cases:
        table = pd.read_csv(path)
        is_defect = table["label"].astype(str).str.strip().str.upper() != "PASS"
        found = operating_point(sweep(table["siamese_score"], is_defect), min_recall).threshold
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-300), name
