"""A figure that is written for people says what the figure says."""

from __future__ import annotations

import pytest

from deft.metrics.figure_text import percent_text


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
