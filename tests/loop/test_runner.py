"""The detached runner: one holds a run, it outlives whoever started it, it ends cleanly when asked."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from deft import files, runner
from deft.cli import running
from deft.cli.answers import answer
from deft.cli.running import follow, start_or_join
from deft.errors import NotApproved, RunBusy, StageFailed, StateConflict
from deft.platforms import docker_container
from deft.platforms.base import Platform
from deft.platforms.slurm import following
from deft.preflight.plan import make_plan
from deft.run.audit import audit_run
from deft.run.gate import save_pending
from deft.run.lock import holder
from deft.run.log import read
from deft.runner import end_left_work, join_runner, outcome_of, progress_of, start_runner, stop_runner, work
from loop_children import child, start_and_join, work_as_runner
from loop_fixtures import SETTINGS, TARGET, open_approved_run, use_stub
from tiny_workspace import make_workspace

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """Give the signals back that `runner.main` takes."""
    kept = {number: signal.getsignal(number) for number in (*runner.STOP_SIGNALS, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    use_stub(monkeypatch)
    monkeypatch.setattr(runner, "render_report", lambda run: run.report)
    return make_workspace(tmp_path / "workspace")


@pytest.fixture
def run(workspace):
    return open_approved_run(workspace, max_iterations=1)


class Held:
    """A runner in a process of its own that waits at its first tool call until it may go on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, []
        for name in ("reached", "go"):
            os.mkfifo(folder / name)

    def start(self, run, *, function=work_as_runner) -> BaseProcess:
        process = child(function, str(run.root), str(self.folder))
        self.started.append(process)
        assert (self.folder / "reached").read_text() == "here"
        return process

    def let_go(self) -> None:
        (self.folder / "go").write_text("go")

    def end(self) -> None:
        """Leave nobody behind after a test that failed half way."""
        for process in self.started:
            process.kill()
            process.join()
        with contextlib.suppress(OSError):  # nobody waits
            os.close(os.open(self.folder / "go", os.O_WRONLY | os.O_NONBLOCK))


@pytest.fixture
def held(tmp_path) -> Iterator[Held]:
    (tmp_path / "hold").mkdir()
    found = Held(tmp_path / "hold")
    yield found
    found.end()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in files.files_below(folder)} if folder.exists() else {}


# --- one runner a run ------------------------------------------------------------------------


def test_a_second_holder_is_refused_with_the_pid_and_the_start_of_the_first(run, held):
    process = held.start(run)
    with pytest.raises(RunBusy, match=f"pid {process.pid}, since 20") as refusal:
        work(run, until_judgement=False)
    assert "deft stop" in refusal.value.hint
    assert runner.main([str(run.root)]) == RunBusy.exit_code
    held.let_go()
    process.join()
    assert process.exitcode == 0
    assert outcome_of(run)["status"] == "complete"


def test_starting_a_run_that_is_already_at_work_starts_nothing(run, held, monkeypatch):
    process = held.start(run)
    monkeypatch.setattr(runner.subprocess, "Popen", lambda *words, **options: pytest.fail("started"))
    start_runner(run, until_judgement=False)
    assert start_or_join(run.root, until_judgement=False) == run
    held.let_go()
    process.join()


def test_a_runner_that_was_killed_leaves_no_word_and_the_run_goes_on_from_its_log(run, held):
    process = held.start(run)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert holder(run) is None
    assert outcome_of(run) == {"status": "stopped", "reason": "the runner was killed", "exit_code": 1}
    again = child(work_as_runner, str(run.root), "")
    again.join()
    assert outcome_of(run)["status"] == "complete"
    assert audit_run(run)["status"] == "agrees"


def test_a_complete_run_whose_last_word_was_lost_is_told_from_its_log(run):
    assert runner.main([str(run.root)]) == 0
    (run.runner / "outcome.json").unlink()
    assert join_runner(run, wait_seconds=0)["status"] == "complete"


def test_where_no_last_word_can_be_written_whoever_waits_meets_the_disks_error(run, monkeypatch):
    def full(path, record):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(files, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        join_runner(run, wait_seconds=0)


# --- stopping --------------------------------------------------------------------------------


def test_a_runner_that_is_asked_to_stop_ends_without_an_error_and_the_run_resumes(run, held):
    process = held.start(run)
    assert stop_runner(run) is True
    process.join()
    assert process.exitcode == 0
    assert outcome_of(run)["status"] == "stopped"
    assert [entry for entry in read(run.log) if entry["status"] == "error"] == []
    assert answer(run)["status"] == "stopped"
    again = child(work_as_runner, str(run.root), "")
    again.join()
    assert outcome_of(run)["status"] == "complete"
    assert read(run.log)[1]["attempt"] == 1
    assert audit_run(run)["status"] == "agrees"


def test_there_is_nothing_to_stop_where_nobody_runs(run):
    assert stop_runner(run) is False


def test_a_runner_that_does_not_end_in_time_is_named(run, held, monkeypatch):
    process = held.start(run)
    monkeypatch.setattr(runner, "STOP_SECONDS", -1.0)
    monkeypatch.setattr(runner.os, "kill", lambda pid, number: None)
    with pytest.raises(StageFailed, match=f"pid {process.pid}"):
        stop_runner(run)
    held.let_go()
    process.join()


def test_the_runner_has_longer_to_end_than_it_gives_any_work_elsewhere():
    sdk_grace_seconds = 30  # the default of its setting grace_seconds
    graces = (docker_container.STOP_GRACE_SECONDS, following.STOP_SECONDS, sdk_grace_seconds)
    assert max(graces) < runner.STOP_SECONDS


@pytest.fixture
def ended(run, monkeypatch) -> list[Path]:
    """Let a runner have held the run, and note which runs a platform is asked to end the work of."""
    found: list[Path] = []
    files.make_folder(run.runner)
    monkeypatch.setattr(Platform, "end", lambda platform, run: [str(found.append(run.root))])
    return found


def test_work_is_ended_under_any_name_of_its_workspace(run, ended, tmp_path):
    (tmp_path / "link").symlink_to(run.workspace.root)
    linked = type(run)(tmp_path / "link" / run.root.relative_to(run.workspace.root))
    assert len(end_left_work(run) + end_left_work(linked)) == len(ended) == 2


def test_a_copy_of_a_workspace_or_of_a_run_never_ends_the_originals_work(run, ended, tmp_path):
    shutil.copytree(run.workspace.root, tmp_path / "copy")
    copies = (
        tmp_path / "copy" / run.root.relative_to(run.workspace.root),
        shutil.copytree(run.root, run.root.with_name("run_20200101_000000")),
    )
    for copy in copies:
        with pytest.raises(StateConflict, match="is a copy") as refusal:
            end_left_work(type(run)(copy))
        assert refusal.value.hint == f"deft stop {run.root}"
    assert ended == []


def test_a_second_stop_leaves_the_first_one_alone_while_it_ends_what_was_left(run, monkeypatch):
    sent, refusals = [], []
    files.make_folder(run.runner)
    monkeypatch.setattr(runner.os, "kill", lambda pid, number: sent.append(pid))

    def stop_again(platform, run):
        with pytest.raises(RunBusy, match=f"another deft stop.*pid {os.getpid()}") as refusal:
            stop_runner(run)
        refusals.append(refusal)
        return []

    monkeypatch.setattr(Platform, "end", stop_again)
    assert end_left_work(run) == []
    assert (len(refusals), sent) == (1, [])
    assert not (run.runner / "ending.json").exists()


# --- joining ---------------------------------------------------------------------------------


def test_joining_without_patience_answers_that_the_run_is_running_and_what_it_does(run, held):
    process = held.start(run)
    assert join_runner(run, wait_seconds=0)["status"] == "running"
    assert follow(run, wait_seconds=0)["status"] == "running"
    assert answer(run)["status"] == "running"
    held.let_go()
    assert join_runner(run, wait_seconds=None)["status"] == "complete"
    process.join()
    assert answer(run)["status"] == "complete"
    assert progress_of(run) == {}


def test_the_end_of_whoever_joined_does_not_end_the_runner(run, held):
    joiner = held.start(run, function=start_and_join)
    found = holder(run)
    assert found is not None
    assert found.pid != joiner.pid
    assert os.getsid(found.pid) != os.getsid(joiner.pid)
    os.killpg(joiner.pid, signal.SIGHUP)
    joiner.join()
    assert joiner.exitcode == -signal.SIGHUP
    assert holder(run) == found
    held.let_go()
    assert join_runner(run, wait_seconds=None)["status"] == "complete"


def test_a_runner_pauses_where_eyes_are_needed(run):
    process = child(work_as_runner, str(run.root), "", "--until-judgement")
    process.join()
    assert outcome_of(run)["status"] == "judgement"
    assert answer(run)["look_at"].endswith("rca_images")


# --- the last word ---------------------------------------------------------------------------


def test_a_failed_stage_is_the_runners_last_word_and_its_exit_code(run, monkeypatch):
    picture = next(run.workspace.mining_pool.rglob("*.png"))
    picture.write_bytes(picture.read_bytes() + b"\0")
    assert runner.main([str(run.root)]) == 3
    last = outcome_of(run)
    assert (last["status"], last["exit_code"]) == ("failed", 3)
    assert "changed during the run" in last["error"]["fact"]
    assert last["error"]["hint"]


def test_a_fault_of_the_program_is_told_with_the_file_that_holds_its_trace(run, monkeypatch, capsys):
    monkeypatch.setattr(runner, "run_loop", lambda *words, **options: 1 / 0)
    assert work(run, until_judgement=False)["status"] == "failed"
    assert "output.log" in outcome_of(run)["error"]["hint"]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_report_that_cannot_be_drawn_does_not_end_the_run(run, monkeypatch, capsys):
    monkeypatch.setattr(runner, "render_report", lambda run: 1 / 0)
    assert work(run, until_judgement=False)["status"] == "complete"
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_runner_that_dies_at_once_is_reported_with_the_file_to_read(run, monkeypatch):
    monkeypatch.setattr(runner, "runner_command", lambda run, until_judgement: ["false"])
    with pytest.raises(StageFailed, match="did not start"):
        start_runner(run, until_judgement=False)


def test_the_runner_is_this_package_under_this_interpreter(run):
    assert runner.runner_command(run, True)[1:] == ["-m", "deft.runner", str(run.root), "--until-judgement"]
    assert "--until-judgement" not in runner.runner_command(run, False)


# --- the gate --------------------------------------------------------------------------------


@pytest.fixture
def no_runner(monkeypatch):
    monkeypatch.setattr(running, "start_runner", lambda run, **options: pytest.fail("a runner was started"))


def test_nothing_under_results_changes_before_the_approval(workspace, no_runner):
    plan, _, _ = make_plan(workspace, target=TARGET, platform="embedded", given=SETTINGS)
    save_pending(plan)
    before = tree(workspace.root)
    with pytest.raises(NotApproved):
        start_or_join(workspace.root, until_judgement=False)
    assert not workspace.results.exists()
    assert tree(workspace.root) == before


def test_a_run_whose_approval_is_gone_is_left_as_it_is(run, no_runner):
    run.approval.unlink()
    before = tree(run.workspace.results)
    for go_on in (lambda: start_or_join(run.root, until_judgement=False), lambda: run_quietly(run)):
        with pytest.raises(NotApproved):
            go_on()
    assert tree(run.workspace.results) == before


def run_quietly(run):
    from deft.loop import run_loop
    from loop_fixtures import SILENT

    return run_loop(run, SILENT)


@pytest.mark.parametrize(
    "name", ["kpi/testing_set.csv", "train/base/training_set.csv", "specs/baseline_spec.yaml"]
)
def test_an_input_that_changed_after_the_approval_is_refused_by_its_name(run, no_runner, name):
    path = run.workspace.root / name
    path.write_bytes(path.read_bytes() + b"\n")
    before = tree(run.workspace.results)
    with pytest.raises(StateConflict, match=name):
        start_or_join(run.root, until_judgement=False)
    assert tree(run.workspace.results) == before


def test_an_image_that_changed_after_the_approval_is_refused_by_its_table(run, no_runner):
    picture = next((run.workspace.images / "kpi").rglob("*.png"))
    picture.write_bytes(picture.read_bytes() + b"\0")
    with pytest.raises(StateConflict, match=r"kpi/testing_set\.csv"):
        start_or_join(run.root, until_judgement=False)


def test_a_parameter_that_changed_after_the_approval_is_refused_by_its_name(run, no_runner):
    plan = files.read_json(run.plan)
    plan["settings"]["num_epochs"]["value"] = 99
    files.write_json(run.plan, plan)
    with pytest.raises(NotApproved, match="num_epochs"):
        start_or_join(run.root, until_judgement=False)
