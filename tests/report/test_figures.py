"""Charts are judged by eye; what a test can hold is their bytes, their labels and what they leave behind."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deft.metrics.charts import Format
from deft.metrics.kpi import kpi_figures, sweep
from deft.report import figures


def scored(shift: float, labels: tuple[str, str] = ("open", "short")) -> pd.DataFrame:
    generator = np.random.default_rng(1)
    rows = [(labels[i % 2], shift + generator.normal()) for i in range(60)]
    rows += [("PASS", generator.normal()) for _ in range(200)]
    return pd.DataFrame(rows, columns=["label", "siamese_score"])


def draw(name: str, kind: Format, labels: tuple[str, str] = ("open", "short")) -> bytes:
    tables = {"baseline": scored(2.0, labels), "iter1": scored(4.0, labels)}
    sweeps = {key: sweep(table["siamese_score"], table["label"] != "PASS") for key, table in tables.items()}
    records = {key: kpi_figures(table) for key, table in tables.items()}
    drawings: dict[str, Callable[[], bytes]] = {
        "curve": lambda: figures.far_against_recall(sweeps, target=(1.0, 0.001), kind=kind),
        "iterations": lambda: figures.far_per_iteration(records, target=0.001, kind=kind),
        "labels": lambda: figures.recall_by_label(
            records["baseline"]["per_label"], records["iter1"]["per_label"], kind=kind
        ),
    }
    return drawings[name]()


NAMES = ("curve", "iterations", "labels")


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


@pytest.mark.parametrize("label", ["$x_{", "短路", "<b>&", "a\nb"])
def test_a_strange_defect_type_is_drawn_as_text(label: str) -> None:
    assert draw("labels", "png", (label, "short"))[:4] == b"\x89PNG"


def test_a_perfect_model_is_drawn() -> None:
    points = sweep([0.1, 0.9], [False, True])
    assert figures.far_against_recall({"baseline": points})[:4] == b"\x89PNG"


def test_a_type_that_only_one_side_knows_is_drawn() -> None:
    new = {"scratch": {"rows": 3, "recall_at_far_1": 0.5}}
    assert figures.recall_by_label({}, new)[:4] == b"\x89PNG"


def test_a_type_with_a_very_long_name_leaves_room_for_its_bars() -> None:
    found = {"bridge": {"recall_at_far_1": 0.5, "rows": 4}, "<b>" * 200: {"recall_at_far_1": 0.1, "rows": 2}}
    assert figures.recall_by_label(found, found)[:4] == b"\x89PNG"  # a chart without room is a warning
    assert "…" in figures.recall_by_label(found, found, kind="svg").decode()


def test_of_a_thousand_types_the_weakest_are_drawn() -> None:
    found = {f"type {n}": {"recall_at_far_1": n / 1000, "rows": 1} for n in range(1000)}
    picture = Image.open(io.BytesIO(figures.recall_by_label(found, found)))
    assert picture.size[1] < 3000
    assert "the 30 weakest of 1000" in figures.recall_by_label(found, found, kind="svg").decode()
