"""The last lines of the demo: each phase's figures with what bounds them, and what to do next."""

from __future__ import annotations

import json
import shlex

import pytest

from deft import files
from deft.cli.demo_result import result_record, result_text


@pytest.fixture
def record(finished):
    return result_record(finished)


def test_the_record_holds_the_figures_of_every_phase(finished, record):
    state = files.read_json(finished.state)
    assert list(record["phases"]) == ["baseline", "iter1", "iter2"]
    for name, figures in record["phases"].items():
        kpi = state["iterations"][name]["kpi"]
        assert figures["far_at_100"] == kpi["far_at_100"]["far"]
        assert figures["decided_by"] == kpi["far_at_100"]["deciding_defect"]["component_id"]
        assert figures["missed_bound"] == kpi["missed_bound"]["bound"]
    json.dumps(record, allow_nan=False)


def test_far_at_full_recall_never_stands_alone(finished, record):
    head, *rows = result_text(finished, record).splitlines()[1:5]
    assert head.split()[:3] == ["FAR@100", "FAR@99.5", "FAR@99"]
    for row, (name, figures) in zip(rows, record["phases"].items(), strict=True):
        cells = row.split()
        assert cells[0] == name
        shown = [float(cell.rstrip("%")) for cell in cells[1:5]]
        names = ("far_at_100", "far_at_99_5", "far_at_99", "mean_far_98_100")
        assert shown == [pytest.approx(100 * figures[key], abs=0.005) for key in names]
        assert figures["decided_by"] in row


def test_columns_stand_under_their_heads(finished, record):
    lines = result_text(finished, record).splitlines()
    for title in ("FAR@100", "FAR@99.5", "FAR@99 ", "mean 98-100"):
        end = lines[1].index(title) + len(title.strip())
        assert {line[end - 1] for line in lines[2:5]} == {"%"}


def test_a_candidate_that_was_not_promoted_is_marked(finished, record):
    phases = {name: {**figures, "promoted": name != "iter2"} for name, figures in record["phases"].items()}
    marked = [
        line for line in result_text(finished, {**record, "phases": phases}).splitlines() if "(not" in line
    ]
    assert [line.split()[0] for line in marked] == ["iter2"]


def test_the_command_to_score_can_be_typed_as_it_stands(finished, record):
    text = result_text(finished, {**record, "model": "/line 4/best_model.json"})
    words = shlex.split(next(line for line in text.splitlines() if line.startswith("Score images:")))
    assert words[2:] == ["deft", "score", "TABLE.csv", "--model", "/line 4/best_model.json"]


def test_the_bound_of_the_miss_rate_and_the_next_steps_are_told(finished, record):
    text = result_text(finished, record)
    bound = record["phases"]["baseline"]["missed_bound"]
    assert f"a miss rate of at most {bound:.1%} (95 %)" in text
    assert str(finished.report) in text
    assert "deft import folders" in text
