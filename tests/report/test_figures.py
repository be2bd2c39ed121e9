"""Charts are judged by eye; what a test can hold is their bytes, their labels and what they leave behind."""

from __future__ import annotations

import io
from collections.abc import Callable

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deft.metrics.kpi import far_at_recall, kpi_figures, sweep
from deft.report import figures
from deft.report.contact_sheet import SheetRow, Tile, contact_sheet


def scored(shift: float, labels: tuple[str, str] = ("open", "short")) -> pd.DataFrame:
    generator = np.random.default_rng(1)
    rows = [(labels[i % 2], shift + generator.normal()) for i in range(60)]
    rows += [("PASS", generator.normal()) for _ in range(200)]
    return pd.DataFrame(rows, columns=["label", "siamese_score"])


def draw(name: str, kind: figures.Format, labels: tuple[str, str] = ("open", "short")) -> bytes:
    tables = {"baseline": scored(2.0, labels), "iter1": scored(4.0, labels)}
    sweeps = {key: sweep(table["siamese_score"], table["label"] != "PASS") for key, table in tables.items()}
    records = {key: kpi_figures(table) for key, table in tables.items()}
    first = tables["baseline"]
    drawings: dict[str, Callable[[], bytes]] = {
        "histogram": lambda: figures.score_histogram(
            first["siamese_score"].to_numpy(), (first["label"] != "PASS").to_numpy(), 0.5, kind=kind
        ),
        "confusion": lambda: figures.confusion_matrix(
            far_at_recall(sweeps["baseline"], 1.0), "At 100 % recall", kind=kind
        ),
        "curve": lambda: figures.far_against_recall(sweeps, target=(1.0, 0.001), kind=kind),
        "iterations": lambda: figures.far_per_iteration(records, target=0.001, kind=kind),
        "labels": lambda: figures.recall_by_label(
            records["baseline"]["per_label"], records["iter1"]["per_label"], kind=kind
        ),
    }
    return drawings[name]()


NAMES = ("histogram", "confusion", "curve", "iterations", "labels")


@pytest.mark.parametrize("name", NAMES)
def test_a_chart_is_the_same_bytes_each_time_in_a_size_that_fits_a_page(name: str) -> None:
    picture = draw(name, "png")
    assert picture == draw(name, "png")
    size = Image.open(io.BytesIO(picture)).size
    assert 600 <= size[0] <= 1200
    assert 350 <= size[1] <= 900


@pytest.mark.parametrize("name", NAMES)
def test_a_chart_as_svg_is_the_same_text_without_a_date(name: str) -> None:
    text = draw(name, "svg")
    assert text == draw(name, "svg")
    assert b"<dc:date>" not in text


def test_charts_neither_read_nor_change_the_settings_of_others() -> None:
    plain = draw("histogram", "png")
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30.0}):
        before = dict(matplotlib.rcParams)
        assert draw("histogram", "png") == plain
        assert dict(matplotlib.rcParams) == before


def test_charts_open_no_window_and_register_no_figure() -> None:
    import matplotlib.pyplot as plt

    open_before = plt.get_fignums()
    draw("curve", "png")
    assert plt.get_fignums() == open_before


@pytest.mark.parametrize("label", ["$x_{", "短路", "<b>&", "a\nb"])
def test_a_strange_defect_type_is_drawn_as_text(label: str) -> None:
    assert draw("labels", "png", (label, "short"))[:4] == b"\x89PNG"


def test_scores_that_are_infinite_or_alone_are_drawn() -> None:
    one = np.array([True])
    for score in (np.inf, 0.5):
        assert figures.score_histogram(np.array([score]), one, None)[:4] == b"\x89PNG"


def test_a_perfect_model_is_drawn() -> None:
    points = sweep([0.1, 0.9], [False, True])
    assert figures.far_against_recall({"baseline": points})[:4] == b"\x89PNG"


def test_a_type_that_only_one_side_knows_is_drawn() -> None:
    new = {"scratch": {"rows": 3, "recall_at_far_1": 0.5}}
    assert figures.recall_by_label({}, new)[:4] == b"\x89PNG"


def pixel(sheet: bytes, x: int, y: int) -> tuple[int, ...]:
    return Image.open(io.BytesIO(sheet)).getpixel((x, y))


def test_a_sheet_shows_each_picture_in_its_place_in_proportion() -> None:
    red, blue = Image.new("RGB", (8, 8), "#FF0000"), Image.new("L", (4, 8), 10)
    sheet = contact_sheet([SheetRow("one", [Tile(red, "crop"), Tile(blue, "golden")])], tile=100)
    left, top = 14, 14 + 26
    assert pixel(sheet, left + 50, top + 50) == (255, 0, 0)
    assert pixel(sheet, left + 110 + 50, top + 50) == (10, 10, 10)
    assert pixel(sheet, left + 110 + 10, top + 50) == (0xEE, 0xF0, 0xF2)


def test_a_sheet_says_what_cannot_be_read_and_cuts_what_does_not_fit() -> None:
    absent = contact_sheet([SheetRow("x" * 500, [Tile(None, "y" * 500), Tile(None, "line\nsecond\nthird")])])
    assert absent == contact_sheet([SheetRow("x" * 500, [Tile(None, "y" * 400), Tile(None, "line\nsecond")])])


def test_an_empty_sheet_is_a_picture_too() -> None:
    assert Image.open(io.BytesIO(contact_sheet([]))).size[0] > 100
