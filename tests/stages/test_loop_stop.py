"""The loop ends with a hand-over at the root of the run."""

from __future__ import annotations

from deft import files
from deft.loop import run_loop
from deft.metrics.figure_text import percent_text
from deft.run.audit import audit_run
from loop_fixtures import SILENT, new_run


def test_the_published_files_are_those_of_the_recorded_stage(finished):
    for path in (finished.best_model, finished.inference_spec):
        assert path.read_bytes() == (finished.root / "handoff" / path.name).read_bytes()


def test_the_reason_is_in_the_state(state):
    assert state["stop_reason"] in ("max_iterations", "target_met", "nothing_new")
    assert state["status"] == "complete"


def test_the_record_names_the_incumbent(finished, state):
    assert files.read_json(finished.best_model)["iteration"] == state["incumbent"]


def test_the_last_line_names_the_far_with_the_recall_it_belongs_to(finished, state):
    record = files.read_json(finished.best_model)
    far = percent_text(record["far_pct"] / 100)
    assert (
        said(state) == f"{state['stop_reason']}: best is {record['iteration']} with FAR {far} at 100% recall"
    )


def test_a_hand_over_at_another_recall_says_at_which(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1, target="recall >= 99.9% at FAR <= 1%")
    run_loop(run, SILENT)
    record = files.read_json(run.best_model)
    assert record["recall_pct"] < 100
    far, recall = (percent_text(record[name] / 100) for name in ("far_pct", "recall_pct"))
    assert said(files.read_json(run.state)).endswith(f" with FAR {far} at {recall} recall")
    assert audit_run(run)["status"] == "agrees"


def said(state):
    stages = [phase["stages"] for phase in state["iterations"].values()]
    return next(done["loop_stop"]["summary"] for done in stages if "loop_stop" in done)
