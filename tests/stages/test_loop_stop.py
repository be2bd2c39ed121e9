"""The loop ends with a hand-over at the root of the run."""

from __future__ import annotations

from deft import files


def test_the_published_files_are_those_of_the_recorded_stage(finished):
    for path in (finished.best_model, finished.inference_spec):
        assert path.read_bytes() == (finished.root / "handoff" / path.name).read_bytes()


def test_the_reason_is_in_the_state(state):
    assert state["stop_reason"] in ("max_iterations", "target_met", "nothing_new")
    assert state["status"] == "complete"


def test_the_record_names_the_incumbent(finished, state):
    assert files.read_json(finished.best_model)["iteration"] == state["incumbent"]
