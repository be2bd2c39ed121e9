"""A figure that is written for people says what the figure says."""

from __future__ import annotations

import pytest

from deft.metrics.figure_text import far_recall, figure_text, measure, percent_text, stated
from deft.metrics.target import parse_target

COST = "cost(escape=100, false_alarm=1) < 50"
RECALL = "recall >= 99.5% at FAR <= 1%"


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.0, "0%"),
        (1.0, "100%"),
        (2 / 30, "6.67%"),
        (0.00012345, "0.0123%"),
        (2999 / 3000, "99.97%"),
        (29999 / 30000, "99.997%"),
    ],
)
def test_a_rate_has_three_digits_and_reads_100_only_where_nothing_is_left_out(
    fraction: float, text: str
) -> None:
    assert percent_text(fraction) == text


def test_a_rate_never_reads_as_the_limit_that_it_does_not_keep() -> None:
    assert percent_text(0.99496, lambda value: value >= 0.995) == "99.496%"


@pytest.mark.parametrize(
    ("target", "value", "text", "sentence"),
    [
        (COST, 30.0, "30", "cost(escape=100, false_alarm=1) = 30"),
        (COST, 1234567.5, "1234567.5", "cost(escape=100, false_alarm=1) = 1234567.5"),
        (RECALL, 2 / 30, "6.67%", "recall = 6.67% at FAR <= 1%"),
        (RECALL, 0.99496, "99.496%", "recall = 99.496% at FAR <= 1%"),
        ("FAR < 0.1%", 0.5, "50%", "FAR = 50% at recall >= 100%"),
        ("escapes < 2 at FAR <= 1%", 1.0, "1", "escapes = 1 at FAR <= 1%"),
        ("F1 > 90%", 0.5, "50%", "F1 = 50%"),
        ("FAR < 1% at precision >= 90%", None, "none", "FAR = none at precision >= 90%"),
    ],
)
def test_the_figure_of_a_target_is_written_by_its_kind_with_its_condition(
    target: str, value: float | None, text: str, sentence: str
) -> None:
    assert figure_text(parse_target(target), value) == text
    assert stated(parse_target(target), value) == sentence


@pytest.mark.parametrize(
    ("target", "text"), [(COST, "cost(escape=100, false_alarm=1)"), (RECALL, "recall at FAR <= 1%")]
)
def test_what_is_measured_is_the_target_without_its_limit(target: str, text: str) -> None:
    assert measure(parse_target(target)) == text


@pytest.mark.parametrize(
    ("target", "recall"),
    [
        ("FAR < 0.1%", 1.0),
        ("FAR < 0.1% at recall >= 99.5%", 0.995),
        ("FAR < 0.1% at recall > 99%", None),
        ("FAR < 0.1% at precision >= 90%", None),
        (RECALL, None),
        (COST, None),
    ],
)
def test_only_a_far_at_a_recall_to_keep_has_a_recall(target: str, recall: float | None) -> None:
    assert far_recall(parse_target(target)) == recall
