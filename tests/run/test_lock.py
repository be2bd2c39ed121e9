"""One runner a run: the kernel decides, the record says who, and nobody unlocks anything by hand."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from deft.errors import RunBusy
from deft.run.lock import Holder, RunLock, _start_time, holder
from deft.workspace.layout import RunFolder


def hold(root: str, ready: Connection) -> None:
    """Hold a run in a process of its own until it is killed."""
    with RunLock(RunFolder(Path(root))):
        ready.send(os.getpid())
        ready.recv()


def test_a_free_run_has_no_holder(run: RunFolder) -> None:
    assert holder(run) is None
    assert not run.runner.exists()


def test_the_holder_is_this_process_while_it_holds_and_nobody_after(run: RunFolder) -> None:
    with RunLock(run):
        found = holder(run)
        assert found is not None
        assert found.pid == os.getpid()
        assert found.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert holder(run) is None


def test_a_second_holder_is_told_the_pid_and_the_start_of_the_first(run: RunFolder) -> None:
    with RunLock(run):
        found = holder(run)
        assert found is not None
        with pytest.raises(RunBusy, match=f"pid {os.getpid()}, since {found.since}") as caught, RunLock(run):
            pass
        assert caught.value.exit_code == 4
        assert holder(run) == found


def test_asking_who_holds_a_run_does_not_take_it(run: RunFolder) -> None:
    with RunLock(run):
        assert holder(run) == holder(run)


def test_a_killed_holder_leaves_the_run_free(run: RunFolder) -> None:
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe()
    process = context.Process(target=hold, args=(str(run.root), there))
    process.start()
    pid = here.recv()
    assert (found := holder(run)) is not None
    assert found.pid == pid
    os.kill(pid, signal.SIGKILL)
    process.join()
    assert (run.runner / "holder.json").exists()
    assert holder(run) is None
    with RunLock(run):
        assert (found := holder(run)) is not None
        assert found.pid == os.getpid()


@pytest.mark.parametrize("change", [{"boot_id": "another boot"}, {"starttime": 1}, {"pid": 2**22 + 1}])
def test_a_record_of_another_boot_or_of_a_reused_pid_is_stale(
    run: RunFolder, change: dict[str, object]
) -> None:
    run.runner.mkdir()
    record = asdict(replace(Holder.this_process(), **change))  # type: ignore[arg-type]
    (run.runner / "holder.json").write_text(json.dumps(record))
    assert holder(run) is None
    with RunLock(run):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_damaged_record_blocks_nobody(run: RunFolder, content: str) -> None:
    run.runner.mkdir()
    (run.runner / "holder.json").write_text(content)
    assert holder(run) is None
    with RunLock(run):
        assert holder(run) is not None


def test_a_holder_that_is_just_starting_is_busy_without_a_name(run: RunFolder) -> None:
    with RunLock(run):
        (run.runner / "holder.json").unlink()
        with pytest.raises(RunBusy, match="just starting"), RunLock(run):
            pass


def test_a_run_is_free_again_after_an_error_inside(run: RunFolder) -> None:
    with pytest.raises(KeyError), RunLock(run):
        raise KeyError
    with RunLock(run):
        pass


def test_a_zombie_holds_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{child.pid}").exists()
    assert _start_time(child.pid) is None
    child.wait()


def test_a_lock_whose_record_cannot_be_written_is_given_back(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("deft.files.write_json", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="full"), RunLock(run):
            pass
    with RunLock(run):
        pass
