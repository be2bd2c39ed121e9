"""The reporter's facts: the last iteration, one kilobyte, no phrase that it must not use."""

from __future__ import annotations

import json
import shutil

import pytest

from deft.cli.main import main
from deft.errors import StateConflict
from deft.report import summary
from deft.report.summary import BYTES, iteration_summary, summary_text
from deft.run.state import fold
from forging import aimed_at


def size(record) -> int:
    return len(json.dumps(record, ensure_ascii=False).encode())


def test_the_summary_is_of_the_last_iteration_and_names_where_to_write(finished):
    record = iteration_summary(finished)
    assert record["phase"] == "iter2"
    assert record["write"] == str(finished.root / "iter2_summary.md")
    assert size(record) <= BYTES


def test_figures_are_percentages_of_this_phase_and_of_the_one_before(finished):
    record = iteration_summary(finished)
    state = json.loads(finished.state.read_text())
    for name, phase in (("now", "iter2"), ("before", "iter1")):
        far = state["iterations"][phase]["kpi"]["far_at_100"]["far"]
        assert record[name]["far_at_100"] == round(100 * far, 2)


def test_the_targets_own_figure_stands_beside_the_others_unless_it_is_one_of_them(finished, tmp_path):
    run = aimed_at(finished, tmp_path, "recall >= 99.5% at FAR <= 1%", 0.01, 2 / 30, 0.05)
    record = iteration_summary(run)
    assert (record["now"]["target_figure"], record["before"]["target_figure"]) == ("5%", "6.67%")
    assert record["verdict"].endswith("recall >= 99.5% at FAR <= 1% (iter1: 6.67%).")
    assert size(record) <= BYTES
    older = iteration_summary(aimed_at(finished, tmp_path / "older", "escapes < 2 at FAR <= 1%"))
    assert "target_figure" not in older["now"]
    assert "target_figure" not in iteration_summary(finished)["now"]


def test_full_recall_never_stands_alone(finished):
    now = iteration_summary(finished)["now"]
    assert {"far_at_100", "far_at_99_5", "far_at_99", "far_bound", "calibrated_far"} <= set(now)


def test_what_was_mined_seen_and_said_is_there(finished):
    record = iteration_summary(finished)
    assert record["mined"]["targets"] == 45
    assert record["looked"]["edge case"] > 0
    assert any("yield fell" in event for event in record["events"])


def test_the_forbidden_phrase_does_not_occur(finished):
    assert "not met" not in json.dumps(iteration_summary(finished)).lower()


def test_a_long_story_is_cut_to_a_kilobyte(finished, monkeypatch):
    story = [("iter2 rca", "x" * 300)] * 40
    monkeypatch.setattr(summary.RunFacts, "events", lambda facts: story)
    assert size(iteration_summary(finished)) <= BYTES


def test_a_run_without_an_evaluation_has_no_summary(finished, tmp_path):
    run = type(finished)(shutil.copytree(finished.root, tmp_path / "results" / finished.root.name))
    first = run.log.read_text().splitlines()[0]
    run.log.write_text(first + "\n")
    assert fold(json.loads(run.plan.read_text()), [json.loads(first)])["iterations"] == {}
    with pytest.raises(StateConflict, match="nothing has been evaluated"):
        iteration_summary(run)


def test_the_verb_prints_facts_and_writes_nothing(finished, capsys):
    before = sorted(finished.root.rglob("*"))
    assert main(["report", "summary", str(finished.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["phase"] == "iter2"
    assert sorted(finished.root.rglob("*")) == before


def test_a_person_reads_lines(finished):
    text = summary_text(iteration_summary(finished))
    assert "phase: iter2\n" in text
    assert "now: far_at_100 " in text
