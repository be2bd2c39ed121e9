"""A run that is killed (-9) at each boundary of each stage and resumed ends as one that never was."""

from __future__ import annotations

from pathlib import Path

import pytest
from killed_runs import STEPS, KilledRun

from forging import copy_with_workspace
from loop_children import POINTS, run_and_be_killed
from time_fields import tree_without_times

WITH_CALLS = [step for step in STEPS if step.split("/")[1] in ("train", "evaluate", "rca", "data_mining")]
WITH_NOTES = [step for step in STEPS if step.endswith("/rca")]
EXPECTED = {"within the work": WITH_CALLS, "before the note": WITH_NOTES}


@pytest.mark.timeout(400)
def test_a_run_killed_at_every_boundary_of_every_stage_ends_as_if_it_never_had_been(tmp_path: Path, figure):
    killed, done = KilledRun(tmp_path), tmp_path / "done"
    kills = 0
    for point in POINTS:
        killed.restore()
        done.write_text("")
        while killed.go_on(run_and_be_killed, point, str(done)):
            kills += 1
        assert done.read_text().splitlines() == EXPECTED.get(point, list(STEPS)), point
        assert killed.differences() == [], point
    assert kills == sum(len(EXPECTED.get(point, STEPS)) for point in POINTS)
    figure(
        "kill -9 at every stage boundary of every stage, 3 iterations",
        ">= 100 kills, 0 manual steps, tree equal",
        f"{kills} kills at {len(POINTS)} points of {len(STEPS)} stages, every tree equal",
    )


def test_the_comparison_sees_one_changed_score_in_its_file_and_in_every_record_of_it(finished, tmp_path):
    run = copy_with_workspace(finished, tmp_path)
    before = tree_without_times(run)
    scores = run.phase("baseline").inference / "best_val" / "inference.csv"
    scores.write_bytes(scores.read_bytes().replace(b"0.", b"1.", 1))
    after = tree_without_times(run)
    differing = {name for name in before if after[name] != before[name]}
    assert differing >= {
        "baseline/inference/best_val/inference.csv",
        "baseline/inference/manifest.json",
        "deft_state.json",
        "loop_log.jsonl",
    }
    assert "baseline/train/manifest.json" not in differing
