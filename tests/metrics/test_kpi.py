from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from deft.errors import InputRefused
from deft.metrics.kpi import RULES, kpi_figures, transfer


def table(rows: list[tuple[str, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["label", "siamese_score"])
    return frame.assign(input_path="board", object_name=[f"c{i}" for i in range(len(rows))])


def mixed(defects: int = 400, passes: int = 1000, seed: int = 0, shift: float = 3.0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    rows = [("short" if i % 2 else "open", shift + generator.normal()) for i in range(defects)]
    return table(rows + [("PASS", generator.normal()) for _ in range(passes)])


def test_the_weakest_defect_is_named_beside_far_at_full_recall() -> None:
    rows = [("PASS", 0.1), ("open", 0.9), ("short", 0.3), ("PASS", 0.5)]
    headline = kpi_figures(table(rows))["far_at_100"]
    assert headline["deciding_defect"] == {
        "row": 4,
        "component_id": "board/c2",
        "score": 0.3,
        "label": "short",
        "input_path": "board",
        "object_name": "c2",
    }
    assert (headline["far"], headline["false_alarms"], headline["missed"]) == (0.5, 1, 0)
    assert headline["threshold"] == 0.1


def test_far_at_full_recall_gets_no_bootstrap_interval_and_the_others_do() -> None:
    figures = kpi_figures(mixed())
    points = {"far_at_99": "far", "far_at_99_5": "far", "best_f1": "f1"}
    points |= dict.fromkeys(("recall_at_far_1", "recall_at_far_0_1"), "recall")
    estimates = {name: figures[name][part] for name, part in points.items()}
    estimates |= {name: figures[name] for name in ("auroc", "mean_far_98_100")}
    assert estimates.keys() == figures["intervals"].keys()
    for name, (low, high) in figures["intervals"].items():
        assert low <= estimates[name] <= high
        assert low < high


def test_the_recall_of_each_label_has_an_interval_as_wide_as_its_rows_are_few() -> None:
    many, few = (kpi_figures(mixed(defects=n, shift=2.0))["per_label"]["open"] for n in (600, 40))
    for name in ("recall_at_far_1", "recall_at_far_0_1"):
        (low, high), (lowest, highest) = many["intervals"][name], few["intervals"][name]
        assert low <= many[name] <= high
        assert highest - lowest > high - low > 0


def test_the_figures_are_json_without_nan_even_for_infinite_scores() -> None:
    figures = kpi_figures(table([("PASS", -np.inf), ("open", np.inf), ("PASS", np.inf)]))
    text = json.dumps(figures, allow_nan=False)
    assert json.loads(text) == figures
    assert figures["recall_at_far_0_1"]["threshold"] is None


def test_every_figure_says_what_it_is() -> None:
    figures = kpi_figures(mixed())
    counts = {"schema_version", "rows", "pass_rows", "defect_rows", "bootstrap", "rules"}
    assert set(figures) - counts <= set(RULES)


def test_recall_is_given_for_each_defect_type_by_its_normalised_name() -> None:
    rows = [("Open", 0.2), ("open ", 0.9), ("short", 0.95), *[("PASS", 0.5)] * 10]
    per_label = kpi_figures(table(rows))["per_label"]
    assert per_label["open"]["rows"] == 2
    assert per_label["open"]["recall_at_far_1"] == 0.5
    assert per_label["short"] == {
        "rows": 1,
        "recall_at_far_1": 1.0,
        "recall_at_far_0_1": 1.0,
        "lowest_score": 0.95,
        "intervals": {"recall_at_far_1": [1.0, 1.0], "recall_at_far_0_1": [1.0, 1.0]},
    }


def test_no_missed_defect_of_sixty_still_leaves_five_percent_possible() -> None:
    figures = kpi_figures(mixed(defects=60))
    assert figures["missed_bound"]["missed"] == 0
    assert figures["missed_bound"]["bound"] == pytest.approx(0.0487, abs=1e-4)


def test_the_figures_do_not_depend_on_the_order_of_rows() -> None:
    ordered = mixed()
    shuffled = ordered.sample(frac=1.0, random_state=3)
    first, second = kpi_figures(ordered), kpi_figures(shuffled)
    first["far_at_100"]["deciding_defect"].pop("row")
    second["far_at_100"]["deciding_defect"].pop("row")
    assert first == second


@pytest.mark.parametrize("rows", [[("PASS", 0.1)], [("open", 0.1)]])
def test_one_class_alone_is_refused_with_the_counts(rows: list[tuple[str, float]]) -> None:
    with pytest.raises(InputRefused, match="both classes"):
        kpi_figures(table(rows))


def test_no_rows_are_refused() -> None:
    with pytest.raises(InputRefused, match="no rows"):
        kpi_figures(table([]))


@pytest.mark.parametrize("label", ["Pass", " PASS", "pass"])
def test_a_label_that_is_pass_but_for_case_or_blanks_is_refused_with_its_row(label: str) -> None:
    with pytest.raises(InputRefused, match="row 3"):
        kpi_figures(table([("open", 0.9), (label, 0.1), ("PASS", 0.2)]))


def test_a_threshold_from_validation_is_applied_unchanged() -> None:
    validation = table([("PASS", 0.1), ("PASS", 0.4), ("open", 0.5)])
    kpi = table([("PASS", 0.45), ("PASS", 0.2), ("open", 0.3), ("open", 0.9)])
    moved = transfer(validation, kpi, 1.0)
    assert moved["threshold"] == 0.4
    assert (moved["validation"]["far"], moved["validation"]["missed"]) == (0.0, 0)
    assert (moved["kpi"]["far"], moved["kpi"]["recall"]) == (0.5, 0.5)
    assert moved["missed_bound"]["missed"] == 1
    assert moved["missed_bound"]["bound"] == pytest.approx(0.9747, abs=1e-4)
    assert moved["far_bound"]["bound"] == pytest.approx(0.9747, abs=1e-4)


def test_a_validation_table_without_defects_calibrates_nothing() -> None:
    with pytest.raises(InputRefused, match="both classes"):
        transfer(table([("PASS", 0.1)]), mixed(), 1.0)
