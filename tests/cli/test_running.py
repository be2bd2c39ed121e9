"""Starting or joining a run from the command line, and what is shown meanwhile."""

from __future__ import annotations

import threading

import pytest

from deft import files
from deft.cli import running
from deft.cli.running import follow, start_or_join
from deft.errors import NotApproved, StateConflict
from deft.loop import run_loop
from deft.preflight.plan import make_plan
from deft.run.gate import approve, remember_drawn, save_pending
from deft.run.lock import RunLock
from deft.run.log import LoopLog
from loop_fixtures import SETTINGS, SILENT, TARGET, new_run, use_stub
from tiny_workspace import make_workspace
from verb_fixtures import inputs_of, run_in_process, tree


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    use_stub(monkeypatch)
    return make_workspace(tmp_path / "workspace")


@pytest.fixture
def started(monkeypatch):
    """Runs for which a runner was asked, without any work."""
    asked = []
    monkeypatch.setattr(running, "start_runner", lambda run, **how: asked.append((run, how)))
    return asked


def plan_for(workspace, **given):
    plan, _, _ = make_plan(workspace, target=TARGET, platform="embedded", given={**SETTINGS, **given})
    save_pending(plan)
    return plan


def approve_as_demo(workspace):
    remember_drawn(workspace)
    approve(workspace, by="demo")


# --- which run starts ----------------------------------------------------------------------------------


def test_an_approved_plan_becomes_a_run_and_gets_a_runner(workspace, started):
    plan = plan_for(workspace)
    approve_as_demo(workspace)
    run = start_or_join(workspace.root, until_judgement=True)
    assert run.root == workspace.results / plan["run_id"]
    assert started == [(run, {"until_judgement": True})]


def test_a_plan_that_nobody_approved_starts_nothing_and_writes_nothing(workspace, started):
    plan_for(workspace)
    with pytest.raises(NotApproved, match="nobody approved this plan") as caught:
        start_or_join(workspace.root, until_judgement=False)
    assert caught.value.hint == f"deft approve {workspace.root}"
    assert started == []
    assert not workspace.results.exists()


def test_without_any_plan_the_way_to_one_is_named(workspace, started):
    with pytest.raises(NotApproved, match="no plan waits") as caught:
        start_or_join(workspace.root, until_judgement=False)
    assert caught.value.hint == f"deft preflight {workspace.root}"
    assert not workspace.results.exists()


def test_a_run_that_waits_for_eyes_answers_at_once_and_starts_no_runner(tmp_path, monkeypatch, started):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT, until_judgement=True)
    assert start_or_join(run.root, until_judgement=True) == run
    assert started == []
    assert start_or_join(run.root, until_judgement=False) == run
    assert started == [(run, {"until_judgement": False})]


def test_repeating_the_command_after_the_run_has_ended_answers_with_that_run(tmp_path, monkeypatch, started):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    assert start_or_join(run.workspace.root, until_judgement=True) == run
    assert started == []


def test_repeating_the_command_goes_on_with_the_unfinished_run(tmp_path, monkeypatch, started):
    run, _ = new_run(tmp_path, monkeypatch)
    assert start_or_join(run.workspace.root, until_judgement=False) == run
    assert start_or_join(run.root, until_judgement=False) == run
    assert [asked for asked, _ in started] == [run, run]


def test_a_finished_run_is_shown_without_a_runner(tmp_path, monkeypatch, started):
    run, _ = new_run(tmp_path, monkeypatch, target="FAR < 99% at recall = 100%")
    run_loop(run, SILENT)
    assert start_or_join(run.root, until_judgement=False) == run
    assert started == []


def test_a_run_that_is_at_work_is_joined_without_a_second_runner(tmp_path, monkeypatch, started):
    run, _ = new_run(tmp_path, monkeypatch)
    with RunLock(run):
        assert start_or_join(run.root, until_judgement=False) == run
    assert started == []


def test_a_plan_of_one_step_does_not_hide_the_run_that_waits_to_go_on(tmp_path, monkeypatch, started):
    run, _ = new_run(tmp_path, monkeypatch)
    save_pending({**files.read_json(run.plan), "kind": "mine", "run_id": "step_mine"})
    assert start_or_join(run.workspace.root, until_judgement=False) == run


# --- changed since the approval ------------------------------------------------------------------------


def refuse(place, error, told, started, workspace):
    before = tree(workspace.root)
    with pytest.raises(error) as caught:
        start_or_join(place, until_judgement=False)
    assert told in str(caught.value)
    assert started == []
    assert tree(workspace.root) == before


@pytest.mark.parametrize(
    "name",
    ["specs/baseline_spec.yaml", "train/base/training_set.csv", "augmentation/mining_pool/mining_pool.csv"],
)
@pytest.mark.parametrize("is_open", [False, True], ids=["before the run", "between two commands"])
def test_an_input_that_changed_after_the_approval_is_refused_by_name(workspace, started, name, is_open):
    plan_for(workspace)
    approve_as_demo(workspace)
    place = workspace.root
    if is_open:
        place = start_or_join(place, until_judgement=False).root
        started.clear()
    path = workspace.root / name
    path.write_bytes(path.read_bytes() + b"\n")
    refuse(place, StateConflict, f"input changed since the plan was made: {name}", started, workspace)


@pytest.mark.parametrize("is_open", [False, True], ids=["before the run", "between two commands"])
@pytest.mark.parametrize(
    ("kind", "name"), [("backbone", "dinov2.pth"), ("encoder", "siglip/model.safetensors")]
)
def test_weights_that_were_swapped_after_the_approval_are_refused_by_name(
    workspace, started, tmp_path, kind, name, is_open
):
    path = files.write_text(tmp_path / name, "weights")
    place = swapped_weights(workspace, path, kind)
    if is_open:
        place = start_or_join(place, until_judgement=False).root
        started.clear()
    path.write_text("others!")
    refuse(place, StateConflict, f"input changed since the plan was made: {path}", started, workspace)


def test_a_file_that_the_encoders_loader_would_take_first_is_refused_by_name(workspace, started, tmp_path):
    path = files.write_text(tmp_path / "siglip" / "pytorch_model.bin", "weights")
    place = swapped_weights(workspace, path, "encoder")
    planted = files.write_text(path.with_name("model.safetensors"), "others")
    refuse(place, StateConflict, f"input appeared since the plan was made: {planted}", started, workspace)


def swapped_weights(workspace, path, kind):
    """Approve a plan that reads a file of weights; the test swaps it."""
    if kind == "encoder":
        files.write_text(path.parent / "config.json", "{}")
        plan_for(workspace, encoder="SigLIP", encoder_path=str(path.parent))
    else:
        name_backbone(workspace, path)
        plan_for(workspace)
    approve_as_demo(workspace)
    return workspace.root


def name_backbone(workspace, path):
    """Let the spec name a pretrained backbone."""
    spec = files.read_yaml(workspace.baseline_spec)
    spec["model"]["backbone"] = {"type": "vit_small_dinov2", "pretrained_backbone_path": str(path)}
    spec["dataset"]["classify"].update(image_width=14, image_height=14)
    files.write_yaml(workspace.baseline_spec, spec)


def test_an_input_that_appeared_or_went_is_refused_by_name(workspace, started):
    workspace.holdout_table.rename(workspace.root / "kept.csv")
    plan_for(workspace)
    approve_as_demo(workspace)
    (workspace.root / "kept.csv").rename(workspace.holdout_table)
    told = "input appeared since the plan was made: kpi/holdout_set.csv"
    refuse(workspace.root, StateConflict, told, started, workspace)
    workspace.holdout_table.unlink()
    workspace.validation_table.unlink()
    told = "input disappeared since the plan was made: train/base/validation_set.csv"
    refuse(workspace.root, StateConflict, told, started, workspace)


@pytest.mark.parametrize("is_open", [False, True], ids=["before the run", "between two commands"])
def test_an_image_that_changed_after_the_approval_is_refused_by_its_table(workspace, started, is_open):
    plan_for(workspace)
    approve_as_demo(workspace)
    place = workspace.root
    if is_open:
        place = start_or_join(place, until_judgement=False).root
        started.clear()
    picture = min((workspace.images / "golden" / "validation").rglob("*.png"))
    picture.write_bytes(picture.read_bytes() + b"\0")
    told = "images of train/base/validation_set.csv"
    refuse(place, StateConflict, told, started, workspace)


def test_a_parameter_that_changed_after_the_approval_is_refused_by_name(tmp_path, monkeypatch, started):
    run, _ = new_run(tmp_path, monkeypatch)
    plan = files.read_json(run.plan)
    plan["settings"]["num_epochs"]["value"] = 50
    files.write_json(run.plan, plan)
    told = "settings.num_epochs.value (2 → 50)"
    refuse(run.root, NotApproved, told, started, run.workspace)


def test_another_target_after_the_approval_is_refused_by_name(tmp_path, monkeypatch, started):
    run, _ = new_run(tmp_path, monkeypatch)
    plan = files.read_json(run.plan)
    plan["target"]["value"] = 0.5
    files.write_json(run.plan, plan)
    refuse(run.root, NotApproved, "target.value (0.001 → 0.5)", started, run.workspace)


def test_an_approval_of_another_run_is_worth_nothing(tmp_path, monkeypatch, started):
    run, _ = new_run(tmp_path / "one", monkeypatch)
    other, _ = new_run(tmp_path / "two", monkeypatch)
    files.write_bytes(run.approval, other.approval.read_bytes())
    with pytest.raises(NotApproved):
        start_or_join(run.root, until_judgement=False)
    assert started == []


def test_a_new_plan_after_the_approval_is_a_new_question(workspace, started):
    plan_for(workspace)
    approve_as_demo(workspace)
    plan_for(workspace, num_epochs=7, seed=3)
    with pytest.raises(NotApproved):
        start_or_join(workspace.root, until_judgement=False)
    assert not workspace.results.exists()


# --- waiting -------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(running, "LOOK_SECONDS", 0.005)


class Working:
    """A runner in a thread: holds the run until told to end."""

    def __init__(self, run):
        self.run, self.end, self.holds = run, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._work)

    def _work(self):
        with RunLock(self.run):
            self.holds.set()
            self.end.wait(60)
            files.write_json(self.run.runner / "outcome.json", {"status": "complete"})

    def __enter__(self):
        self.thread.start()
        assert self.holds.wait(60)
        return self

    def __exit__(self, *error):
        self.end.set()
        self.thread.join(60)


def test_waiting_ends_after_its_seconds_and_leaves_the_runner_at_work(tmp_path, monkeypatch, quick):
    run, _ = new_run(tmp_path, monkeypatch)
    with Working(run):
        files.write_json(run.runner / "progress.json", {"task": "train", "done": 1, "total": 4})
        outcome = follow(run, wait_seconds=0.05)
        assert outcome == {"status": "running", "task": "train", "done": 1, "total": 4}


def test_each_stage_that_ends_meanwhile_is_one_line_on_stderr(tmp_path, monkeypatch, quick, capsys):
    run, _ = new_run(tmp_path, monkeypatch)
    entry = {"iter": "baseline", "stage": "train", "status": "ok", "summary": "2 epochs", "duration_sec": 7}
    shown, counted = threading.Event(), threading.Event()
    tell, show = running._tell_stages, running._show_task

    def tell_and_notice(run, told):
        count = tell(run, told)
        if count > told:
            shown.set()
        return count

    def show_and_notice(*arguments):
        counted.set()
        return show(*arguments)

    monkeypatch.setattr(running, "_tell_stages", tell_and_notice)
    monkeypatch.setattr(running, "_show_task", show_and_notice)
    with Working(run) as working:
        waiting = threading.Thread(target=follow, args=(run,), kwargs={"wait_seconds": None})
        waiting.start()
        assert counted.wait(60)
        LoopLog(run.log).append(entry)
        LoopLog(run.log).append({**entry, "kind": "note", "stage": "remark", "summary": "not a stage"})
        files.write_json(run.runner / "progress.json", {"task": "evaluate", "done": 0, "total": None})
        assert shown.wait(60)
        working.end.set()
        waiting.join(60)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.split() == ["baseline", "train", "7", "s", "2", "epochs"]


def test_progress_moves_one_bar_and_a_new_task_opens_another(tmp_path, monkeypatch, quick):
    run, _ = new_run(tmp_path, monkeypatch)
    seen = []

    class Seen:
        def task(self, name, total=None, unit="step"):
            seen.append((name, total, unit))
            return self

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return False

        def reach(self, done, total=None):
            seen.append((done, total))
            script.pop(0)() if script else working.end.set()

    def write(**record):
        return lambda: files.write_json(run.runner / "progress.json", record)

    script = [
        write(task="train", done=2, total=4, unit="step"),
        write(task="score", done=1, total=None, unit="pair"),
    ]
    monkeypatch.setattr(running, "for_terminal", Seen)
    with Working(run) as working:
        write(task="train", done=1, total=4, unit="step")()
        outcome = follow(run, wait_seconds=None)
    assert seen[:4] == [("train", 4, "step"), (1, 4), (2, 4), ("score", None, "pair")]
    assert (1, None) in seen
    assert outcome == {"status": "complete"}


def test_the_whole_way_through_the_door_ends_with_every_stage_told(tmp_path, monkeypatch, capsys):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_in_process(monkeypatch)
    before = inputs_of(run.workspace.root)
    assert start_or_join(run.root, until_judgement=False) == run
    assert follow(run, wait_seconds=None)["status"] == "complete"
    assert inputs_of(run.workspace.root) == before
