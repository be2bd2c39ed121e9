"""Two runs side by side: figures of the best models, and what was agreed to differently."""

from __future__ import annotations

import shutil

import pytest

from deft import files
from deft.report.compare import compare_runs, comparison_text
from deft.report.facts import RunFacts
from deft.workspace.layout import RunFolder
from loop_fixtures import new_run


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A run of another workspace, not begun, with other settings."""
    return new_run(tmp_path, monkeypatch, sizes={"kpi": (28, 4)}, num_epochs=5, mining="random")[0]


def test_a_run_equals_itself(finished):
    record = compare_runs(finished, finished)
    assert record["same_kpi_set"] is True
    assert record["different"] == {}
    assert all(first == second for first, second in record["figures"].values())


def test_the_figures_are_those_of_the_best_models(finished):
    state = files.read_json(finished.state)
    kpi = state["iterations"][state["incumbent"]]["kpi"]
    figures = compare_runs(finished, finished)["figures"]
    assert figures["far_at_99_5"][0] == kpi["far_at_99_5"]["far"]
    assert figures["mean_far_98_100"][0] == kpi["mean_far_98_100"]
    assert figures["auroc"][0] == kpi["auroc"]
    combined = files.read_csv(finished.phase("iter2").combined_table)
    assert figures["training_rows"][0] == len(combined)


@pytest.mark.parametrize(("phase", "rows"), [("baseline", 26), ("iter1", None)])
def test_training_rows_are_the_best_models_not_the_last_ones(finished, monkeypatch, phase, rows):
    fold = RunFacts.of(finished).state
    monkeypatch.setattr("deft.report.facts.fold", lambda plan, entries: {**fold, "incumbent": phase})
    found = compare_runs(finished, finished)["figures"]["training_rows"][0]
    combined = finished.phase(phase).combined_table
    assert found == (rows or len(files.read_csv(combined)))


def test_every_setting_that_differs_is_named_with_both_values(finished, fresh):
    different = compare_runs(finished, fresh)["different"]
    assert different["num_epochs"] == [2, 5]
    assert different["mining"] == ["targets", "random"]
    assert "top_k_per_target" not in different


def test_a_run_without_a_model_has_no_figures(finished, fresh):
    record = compare_runs(finished, fresh)
    assert {values[1] for values in record["figures"].values()} == {None}
    assert all(values[0] is not None for values in record["figures"].values())


def test_the_text_says_that_figures_of_two_kpi_sets_do_not_compare(finished, fresh):
    record = compare_runs(finished, fresh)
    assert record["same_kpi_set"] is False
    text = comparison_text(record)
    assert text.splitlines()[-1] == "The KPI sets differ: the figures are not comparable."
    assert "not comparable" not in comparison_text(compare_runs(finished, finished))


def test_the_text_shows_rates_in_percent_and_a_dash_for_what_is_not_there(finished, fresh):
    record = compare_runs(finished, fresh)
    rows = {line.split()[0]: line.split()[1:] for line in comparison_text(record).splitlines()[1:]}
    assert rows["far_at_99"] == [f"{100 * record['figures']['far_at_99'][0]:.3f}", "%", "–"]
    assert float(rows["auroc"][0]) == pytest.approx(record["figures"]["auroc"][0], abs=1e-4)
    assert rows["training_rows"] == [str(record["figures"]["training_rows"][0]), "–"]


def test_runs_that_were_moved_compare_as_well(finished, tmp_path):
    moved = RunFolder(shutil.copytree(finished.root, tmp_path / finished.root.name))
    assert compare_runs(finished, moved) == compare_runs(finished, finished)
