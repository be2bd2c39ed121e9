"""Charts are judged by eye; what a test can hold is their bytes, their size and what they leave behind."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from deft.metrics.charts import Format, confusion_matrix, score_histogram
from deft.metrics.kpi import far_at_recall, sweep

SCORES = np.append(np.linspace(0.0, 0.6, 200), np.linspace(0.4, 1.0, 40))
IS_DEFECT = np.arange(240) >= 200


def draw(name: str, kind: Format = "png") -> bytes:
    if name == "histogram":
        return score_histogram(SCORES, IS_DEFECT, 0.39, kind=kind)
    return confusion_matrix(far_at_recall(sweep(SCORES, IS_DEFECT), 1.0), "At 100 % recall", kind=kind)


@pytest.mark.parametrize("name", ["histogram", "confusion"])
def test_a_chart_is_the_same_bytes_each_time_in_a_size_that_fits_a_page(name: str) -> None:
    picture = draw(name)
    assert picture == draw(name)
    width, height = Image.open(io.BytesIO(picture)).size
    assert 600 <= width <= 1200
    assert 350 <= height <= 900


def test_a_chart_as_svg_is_the_same_text_without_a_date() -> None:
    text = draw("histogram", "svg")
    assert text == draw("histogram", "svg")
    assert b"<dc:date>" not in text


def test_charts_neither_read_nor_change_the_settings_of_others() -> None:
    plain = draw("histogram")
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30.0}):
        before = dict(matplotlib.rcParams)
        assert draw("histogram") == plain
        assert dict(matplotlib.rcParams) == before


def test_charts_register_no_figure_with_pyplot() -> None:
    import matplotlib.pyplot as plt

    open_before = plt.get_fignums()
    draw("histogram")
    assert plt.get_fignums() == open_before


@pytest.mark.parametrize("score", [np.inf, 0.5])
def test_scores_that_are_infinite_or_alone_are_drawn(score: float) -> None:
    assert score_histogram(np.array([score]), np.array([True]), None)[:4] == b"\x89PNG"


def test_the_threshold_and_the_class_of_a_row_are_visible() -> None:
    plain = draw("histogram")
    assert plain != score_histogram(SCORES, IS_DEFECT, 0.2)
    assert plain != score_histogram(SCORES, IS_DEFECT, None)
    assert plain != score_histogram(SCORES, ~IS_DEFECT, 0.39)
