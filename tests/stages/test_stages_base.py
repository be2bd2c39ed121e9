"""What every stage does: attempt, manifest, rename, log line, state; skip, adopt, fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft import files
from deft.errors import Corruption, InputRefused, StateConflict
from deft.loop import run_loop
from deft.platforms.base import CallIdentity
from deft.run.log import LoopLog, read
from deft.run.manifests import verify_manifest
from deft.run.state import fold
from deft.stages.base import Outcome, Stage, StageContext
from loop_fixtures import SILENT, new_run


class Probe(Stage):
    """A stage of the baseline that writes one file; `fault` is raised half way."""

    name = "train"

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault, self.worked = fault, 0

    def place(self, context: StageContext) -> Path:
        return context.phase.train

    def reads(self, context: StageContext) -> list[Path]:
        return [context.run.workspace.training_table]

    def work(self, context: StageContext, folder: Path) -> Outcome:
        self.worked += 1
        files.write_text(folder / "model.txt", "weights")
        if self.fault:
            raise self.fault
        return Outcome("done", {"best_ckpt_path": folder / "model.txt"}, ("look here",))


@pytest.fixture
def context(tmp_path, monkeypatch):
    run, stub = new_run(tmp_path, monkeypatch)
    plan = files.read_json(run.plan)
    return StageContext(run, plan, fold(plan, read(run.log)), run.phase("baseline"), stub, SILENT)


def execute(context, stage):
    return stage.execute(context, LoopLog(context.run.log))


def test_a_stage_leaves_a_manifest_one_log_line_and_the_state(context):
    state = execute(context, Probe())
    entry = read(context.run.log)[-1]
    manifest = verify_manifest(context.phase.train)
    assert [file["path"] for file in manifest["files"]] == ["model.txt"]
    assert entry["outcome"]["events"] == ["look here"]
    assert entry["evidence"][0]["path"] == "baseline/train/manifest.json"
    assert state == files.read_json(context.run.state)


def test_a_value_in_the_attempt_folder_is_recorded_under_its_final_name(context):
    state = execute(context, Probe())
    assert state["iterations"]["baseline"]["best_ckpt_path"] == str(context.phase.train / "model.txt")


def test_a_failed_stage_is_logged_and_its_next_attempt_starts_empty(context):
    with pytest.raises(InputRefused):
        execute(context, Probe(InputRefused("bad row", value=7)))
    entry = read(context.run.log)[-1]
    assert (entry["status"], entry["outcome"]["exit_code"]) == ("error", 3)
    assert not context.phase.train.exists()
    execute(context, Probe())
    assert read(context.run.log)[-1]["attempt"] == 2


def test_what_a_failed_attempt_got_done_for_the_same_inputs_is_gone_on_with(context, monkeypatch):
    monkeypatch.setattr(Probe, "keeps_partial_work", True)
    with pytest.raises(InputRefused):
        execute(context, Probe(InputRefused("full disk")))
    left = context.phase.root / "train.attempt-1"
    (left / "epoch.pth").write_text("an hour of work")
    (left / ".half.pth.1.tmp").write_text("half")
    execute(context, Probe())
    assert (context.phase.train / "epoch.pth").read_text() == "an hour of work"
    assert sorted(path.name for path in context.phase.root.iterdir()) == ["train"]
    assert not list(context.phase.train.glob(".*"))


def test_finished_work_that_a_failing_disk_kept_from_its_name_is_adopted_by_the_next_attempt(
    context, monkeypatch
):
    with monkeypatch.context() as disk:
        disk.setattr(Path, "rename", lambda *names: (_ for _ in ()).throw(OSError(5, "broken")))
        with pytest.raises(OSError, match="broken"):
            execute(context, Probe())
    again = Probe()
    execute(context, again)
    assert again.worked == 0
    assert [entry["status"] for entry in read(context.run.log)[-2:]] == ["error", "ok"]
    assert sorted(path.name for path in context.phase.root.iterdir()) == ["train"]


def test_what_a_failed_attempt_got_done_for_other_inputs_is_removed(context, monkeypatch):
    monkeypatch.setattr(Probe, "keeps_partial_work", True)
    with pytest.raises(InputRefused):
        execute(context, Probe(InputRefused("full disk")))
    (context.phase.root / "train.attempt-1" / "epoch.pth").write_text("an hour of other work")
    _change_what_was_agreed(context)
    execute(context, Probe())
    assert not (context.phase.train / "epoch.pth").exists()


def test_a_folder_that_was_renamed_but_not_logged_is_adopted_without_working_again(context, monkeypatch):
    monkeypatch.setattr(LoopLog, "append", _dead)
    with pytest.raises(KeyboardInterrupt):
        execute(context, Probe())
    monkeypatch.undo()
    again = Probe()
    execute(context, again)
    assert again.worked == 0
    assert read(context.run.log)[-1]["status"] == "ok"


def _change_what_was_agreed(context):
    """Let the plan agree to other bytes of the table that the probe reads."""
    table = context.run.workspace.training_table
    table.write_text(table.read_text() + "\n")
    context.plan["inputs"]["train/base/training_set.csv"] = files.sha256_of_file(table)


def _dead(log, entry):
    raise KeyboardInterrupt


def test_a_folder_with_its_manifest_but_not_yet_its_name_is_adopted_without_working_again(
    context, monkeypatch
):
    monkeypatch.setattr("deft.stages.base._put_in_place", _dead)
    with pytest.raises(KeyboardInterrupt):
        execute(context, Probe())
    monkeypatch.undo()
    again = Probe()
    execute(context, again)
    assert again.worked == 0
    assert not list(context.phase.root.glob("*.attempt-*"))
    assert sorted(path.name for path in context.phase.train.iterdir()) == ["manifest.json", "model.txt"]


def test_what_a_stage_read_stands_in_its_manifest_in_the_log_and_in_the_state(context):
    state = execute(context, Probe())
    name = "train/base/training_set.csv"
    read_by = {name: files.sha256_of_file(context.run.workspace.training_table)}
    assert verify_manifest(context.phase.train)["inputs"] == read_by
    assert read(context.run.log)[-1]["outcome"]["inputs"] == read_by
    assert state["iterations"]["baseline"]["stages"]["train"]["inputs"] == read_by


def test_an_input_that_is_no_longer_the_plans_is_refused_by_its_name_before_any_work(context):
    table, probe = context.run.workspace.training_table, Probe()
    table.write_text(table.read_text() + "\n")
    with pytest.raises(StateConflict, match=r"since the approval: train/base/training_set\.csv"):
        execute(context, probe)
    assert probe.worked == 0
    assert read(context.run.log)[-1]["outcome"]["exit_code"] == 4


def test_a_finished_folder_made_from_other_inputs_is_replaced(context, monkeypatch):
    monkeypatch.setattr(LoopLog, "append", _dead)
    with pytest.raises(KeyboardInterrupt):
        execute(context, Probe())
    monkeypatch.undo()
    _change_what_was_agreed(context)
    again = Probe()
    execute(context, again)
    assert again.worked == 1


@pytest.mark.parametrize("change", ["edit", "remove"])
def test_a_changed_file_of_a_finished_stage_is_corruption(context, change):
    execute(context, Probe())
    model = context.phase.train / "model.txt"
    model.write_text("forged") if change == "edit" else model.unlink()
    with pytest.raises(Corruption, match="finished stage"):
        verify_manifest(context.phase.train)


def test_partial_work_is_kept_only_for_the_same_inputs(context):
    class Patient(Probe):
        keeps_partial_work = True

        def work(self, context, folder):
            self.found = sorted(path.name for path in folder.iterdir())
            files.write_text(folder / "part.txt", "half")
            if self.fault:
                raise self.fault
            return Outcome("done")

    with pytest.raises(KeyboardInterrupt):
        execute(context, Patient(KeyboardInterrupt()))
    resumed = Patient()
    execute(context, resumed)
    assert "part.txt" in resumed.found


def test_every_tool_call_bears_the_run_the_phase_the_stage_and_the_attempt(tmp_path, monkeypatch):
    run, stub = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    first = stub.calls[0].identity
    key = next(entry for entry in read(run.log) if entry["stage"] == "train")["outcome"]["key"]
    assert first == CallIdentity(run.root.name, "baseline", "train", 1, key)
    assert {call.identity.stage for call in stub.calls} == {"train", "evaluate", "rca", "data_mining"}
