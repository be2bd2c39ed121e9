"""On the real engine: killed (-9) once in each stage and resumed, a run ends as one that never was."""

from __future__ import annotations

import shutil
import signal

import pytest

from deft.run.audit import audit_run
from deft.run.transitions import ORDER_BASELINE, ORDER_ITERATION
from loop_children import child, run_engine_and_be_killed
from loop_fixtures import open_engine_run
from time_fields import tree_without_times

pytestmark = pytest.mark.whole
STAGES = 11


def test_a_run_killed_in_each_stage_of_the_real_engine_ends_byte_identical(tmp_path):
    run = open_engine_run(tmp_path)
    kept, done = tmp_path / "kept", tmp_path / "done"
    shutil.copytree(run.root, kept)
    trees = []
    for already in ("everything", ""):
        shutil.rmtree(run.root)
        shutil.copytree(kept, run.root)
        done.write_text(already)
        trees.append((finish(run, done, undisturbed=bool(already)), tree_without_times(run)))
        assert audit_run(run)["status"] == "agrees"
    (kills, undisturbed), (struck, resumed) = trees
    assert (kills, struck) == (0, STAGES)
    assert sorted(resumed) == sorted(undisturbed)
    for name, content in undisturbed.items():
        assert resumed[name] == content, name


def finish(run, done, *, undisturbed: bool) -> int:
    """Start the loop until it ends by itself; return how often it was killed."""
    if undisturbed:
        steps = [f"baseline/{name}" for name in ORDER_BASELINE]
        steps += [f"iter1/{name}" for name in (*ORDER_ITERATION, "loop_stop")]
        done.write_text("\n".join(steps) + "\n")
    for kills in range(STAGES + 2):
        process = child(run_engine_and_be_killed, str(run.root), str(done))
        process.join()
        if process.exitcode == 0:
            return kills
        assert process.exitcode == -signal.SIGKILL
    raise AssertionError(f"killed more than once in a stage: {done.read_text()}")
