"""A run that is killed (-9) in each stage and resumed ends byte-identical to one that never was."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from deft.run.audit import audit_run
from deft.workspace.layout import RunFolder
from forging import copy_with_workspace
from loop_children import POINTS, child, run_and_be_killed
from loop_fixtures import open_approved_run, use_stub
from time_fields import tree_without_times
from tiny_workspace import make_workspace

STEPS = (
    *(f"baseline/{name}" for name in ("train", "evaluate", "rca")),
    *(f"iter1/{name}" for name in ("routing", "anomalygen", "data_mining", "data_merge")),
    *(f"iter1/{name}" for name in ("train", "evaluate", "rca", "loop_stop")),
)
WITH_CALLS = [step for step in STEPS if step.split("/")[1] in ("train", "evaluate", "rca", "data_mining")]
WITH_NOTES = ["baseline/rca", "iter1/rca"]
EXPECTED = {"within the work": WITH_CALLS, "before the note": WITH_NOTES}


class Again:
    """One approved run that can be done again and again from the same bytes at the same place."""

    def __init__(self, parent: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            use_stub(patch)
            self.run: RunFolder = open_approved_run(make_workspace(parent / "workspace"), max_iterations=1)
        self.kept, self.done = parent / "kept", parent / "done"
        shutil.copytree(self.run.root, self.kept)

    def restore(self) -> None:
        shutil.rmtree(self.run.root)
        shutil.copytree(self.kept, self.run.root)
        self.done.write_text("")

    def finish(self, point: str) -> int:
        """Start the loop until it ends by itself; return how often it was killed on the way."""
        for kills in range(len(STEPS) + 2):
            process = child(run_and_be_killed, str(self.run.root), point, str(self.done))
            process.join()
            if process.exitcode == 0:
                return kills
            assert process.exitcode == -signal.SIGKILL
        raise AssertionError(f"killed more than once in a stage: {self.done.read_text()}")


@pytest.fixture(scope="module")
def state_home(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def again(state_home: str, tmp_path_factory: pytest.TempPathFactory) -> Again:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", state_home)
        return Again(tmp_path_factory.mktemp("killed"))


@pytest.fixture(autouse=True)
def same_key(state_home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every process know the key with which the run was approved."""
    monkeypatch.setenv("XDG_STATE_HOME", state_home)


@pytest.fixture(scope="module")
def undisturbed(again: Again, state_home: str) -> dict[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", state_home)
        again.restore()
        assert again.finish("never") == 0
    return tree_without_times(again.run)


@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_once_in_each_stage_ends_as_if_it_never_had_been(again, undisturbed, point):
    again.restore()
    kills = again.finish(point)
    assert again.done.read_text().splitlines() == EXPECTED.get(point, list(STEPS))
    assert kills == len(EXPECTED.get(point, STEPS))
    found = tree_without_times(again.run)
    assert sorted(found) == sorted(undisturbed)
    assert [name for name in found if found[name] != undisturbed[name]] == []
    assert audit_run(again.run)["status"] == "agrees"


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
