"""Which threshold a scored table allows, and which of its rows are weak."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import difference
from deft.errors import InputRefused
from deft.metrics.weak_samples import (
    ScoredTable,
    UnreachableRecall,
    choose_point,
    expand,
    score_table,
    sweep_table,
    weakest_rows,
)


def scored(*rows: tuple[object, object], **columns: object) -> ScoredTable:
    table = pd.DataFrame(rows, columns=["label", "siamese_score"])
    names = {"input_path": "board", "object_name": [f"o{i}" for i in range(len(rows))]}
    return score_table(table.assign(**names, **columns))


def test_labels_are_read_without_case_and_blanks() -> None:
    table = scored((" pass ", 0.1), ("Pass", 0.2), ("Bridge ", 0.9))
    assert table.is_defect.tolist() == [False, False, True]
    assert table.labels.tolist() == ["PASS", "PASS", "BRIDGE"]


def test_a_missing_label_is_a_defect_and_is_not_ranked() -> None:
    table = scored(("PASS", 0.1), (None, 0.9))
    assert table.is_defect.tolist() == [False, True]
    assert len(weakest_rows(table, 0.5, 50)) == 1


@pytest.mark.parametrize("column", ["label", "siamese_score"])
def test_a_table_without_labels_or_scores_is_refused(column: str) -> None:
    table = pd.DataFrame({"label": ["PASS"], "siamese_score": [0.1]}).drop(columns=column)
    with pytest.raises(InputRefused, match=f"lacks the column '{column}'"):
        score_table(table)


def test_a_score_that_is_text_is_refused() -> None:
    with pytest.raises(InputRefused, match="could not convert string to float: 'high'"):
        scored(("PASS", 0.1), ("bridge", "high"))


def test_the_threshold_is_the_largest_pass_score_below_all_defects() -> None:
    assert choose_point(scored(("PASS", 0.1), ("PASS", 0.2), ("bridge", 0.9)), -1.0, 1.0).threshold == 0.2


def test_a_threshold_that_is_given_is_kept_zero_included() -> None:
    point = choose_point(scored(("PASS", 0.1), ("bridge", 0.9)), 0.0, 1.0)
    assert (point.threshold, point.tp, point.fp, point.tn, point.fn) == (0.0, 1, 1, 0, 0)


def test_a_lower_recall_gives_a_defect_up_for_fewer_false_alarms() -> None:
    rows = [("bridge", 0.1), ("PASS", 0.2), ("PASS", 0.3), ("bridge", 0.8), ("bridge", 0.9)]
    assert choose_point(scored(*rows), -1.0, 0.6).threshold == 0.3
    assert choose_point(scored(*rows), -1.0, 1.0).threshold == math.nextafter(0.1, -math.inf)


def test_a_table_without_rows_cannot_be_swept() -> None:
    with pytest.raises(InputRefused, match="contains no rows"):
        choose_point(scored(), -1.0, 1.0)


def test_a_table_without_defects_reaches_no_recall() -> None:
    with pytest.raises(UnreachableRecall, match="No threshold achieves 100% recall") as caught:
        choose_point(scored(("PASS", 0.1)), -1.0, 1.0)
    assert "0 NO_PASS and 1 PASS rows" in caught.value.explanation


def test_a_defect_without_a_score_lowers_the_recall_that_can_be_reached() -> None:
    table = scored(("PASS", 0.1), ("bridge", 0.9), ("bridge", math.nan), ("PASS", math.nan))
    with pytest.raises(UnreachableRecall) as caught:
        choose_point(table, -1.0, 1.0)
    assert "is 0.5 (1 defects found, 1 missed, 0 false alarms) at threshold 0.1" in caught.value.explanation
    point = choose_point(table, -1.0, 0.5)
    assert (point.tp, point.fp, point.tn, point.fn) == (1, 0, 2, 1)


def test_a_table_of_nothing_but_missing_scores_reaches_nothing() -> None:
    assert sweep_table(scored(("bridge", math.nan))).recall.max() == 0.0


def naive_threshold(scores: list[float], defects: list[bool], floor: float) -> float:
    """Choose by trying every candidate, as the rule is written down."""
    best: tuple[float, float, float] | None = None
    for threshold in [math.nextafter(min(scores), -math.inf), *sorted(set(scores))]:
        flagged = [score > threshold for score in scores]
        tp = sum(f and d for f, d in zip(flagged, defects, strict=True))
        fp = sum(flagged) - tp
        precision = tp / (tp + fp) if tp + fp else 0.0
        recall = tp / sum(defects)
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        if recall >= floor - 1e-12:
            best = max(best or (f1, precision, threshold), (f1, precision, threshold))
    assert best is not None
    return best[2]


@settings(deadline=None, max_examples=150)
@given(
    rows=st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), st.booleans()), min_size=1),
    floor=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
)
def test_the_sweep_agrees_with_trying_every_threshold(rows: list[tuple[float, bool]], floor: float) -> None:
    scores, defects = [score for score, _ in rows] + [0.5], [defect for _, defect in rows] + [True]
    table = scored(*(("bridge" if d else "PASS", s) for s, d in zip(scores, defects, strict=True)))
    assert choose_point(table, -1.0, floor).threshold == naive_threshold(scores, defects, floor)


def test_rows_are_ranked_over_all_labels_and_cut_within_each() -> None:
    table = scored(("PASS", 0.9), ("PASS", 0.2), ("bridge", 0.8), ("bridge", 0.3), ("pass", 0.7))
    weak = weakest_rows(table, 0.5, 2)
    assert weak["object_name"].tolist() == ["o0", "o3", "o4", "o2"]
    assert weak["weakness"].tolist() == pytest.approx([0.4, 0.2, 0.2, -0.3])


def test_equal_weakness_keeps_the_order_of_the_table() -> None:
    assert difference("stable-weakness-ties")
    table = scored(*[("PASS", 0.5)] * 40)
    assert weakest_rows(table, 0.25, 30).index.tolist() == list(range(30))


def test_a_row_without_a_score_is_the_strongest() -> None:
    weak = weakest_rows(scored(("PASS", math.nan), ("PASS", 0.1)), 0.5, 2)
    assert weak["object_name"].tolist() == ["o1", "o0"]


@pytest.mark.parametrize(("top_k", "kept"), [(0, 0), (1, 2), (9, 5), (-1, 3)])
def test_top_k_counts_within_a_label_and_drops_the_strongest_when_negative(top_k: int, kept: int) -> None:
    table = scored(("PASS", 0.9), ("PASS", 0.2), ("bridge", 0.8), ("bridge", 0.3), ("PASS", 0.7))
    assert len(weakest_rows(table, 0.5, top_k)) == kept


def test_a_weak_row_is_one_image_a_light_in_the_order_given() -> None:
    weak = weakest_rows(scored((" Bridge", 0.3)), 0.5, 1)
    gaps = expand(weak, ["IR", "RGB"], ".png", "/data")
    assert gaps["filepath"].tolist() == ["/data/board/o0_IR.png", "/data/board/o0_RGB.png"]
    assert gaps["label"].tolist() == ["Bridge", "Bridge"]


def test_without_a_light_map_an_image_has_no_suffix() -> None:
    weak = weakest_rows(scored(("bridge", 0.3)), 0.5, 1)
    assert expand(weak, None, ".png", "")["filepath"].tolist() == ["board/o0.png"]


def test_no_rows_give_a_table_with_the_four_columns() -> None:
    gaps = expand(weakest_rows(scored(("bridge", 0.3)), 0.5, 1), [], ".png", "")
    assert gaps.columns.tolist() == ["filepath", "label", "siamese_score", "weakness"]
    assert len(gaps) == 0


def test_a_defect_at_the_threshold_is_missed_though_its_weakness_is_0() -> None:
    table = scored(("bridge", 0.5))
    assert table.weakness(0.5).tolist() == [0.0]
    assert table.wrong(0.5).tolist() == [True]
    assert np.isnan(scored(("bridge", math.nan)).weakness(0.5)).all()
