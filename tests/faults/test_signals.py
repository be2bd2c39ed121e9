"""A training that is told to end saves what it has, leaves nobody behind, and goes on where it stopped.

The runner is detached, the engine is the real one, and whoever waits here waits for events, not for time.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deft import runner
from deft.embedding.pair_network import read_checkpoint
from deft.run.lock import holder
from deft.run.log import read
from deft.runner import join_runner, outcome_of, start_runner
from deft.workspace.layout import RunFolder
from loop_children import SOURCE, TESTS
from loop_fixtures import open_engine_run

EPOCHS, STEPS_PER_EPOCH = 40, 3
STOPPED_AT = 20
PATIENCE_MILLISECONDS = 30_000


class EngineRun:
    """An approved run whose runner starts as `deft run` starts it, and says when it has trained a while."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.run: RunFolder = open_engine_run(root, num_epochs=EPOCHS)
        self.folder = root
        os.mkfifo(root / "reached")
        patch.setattr(runner, "SOURCE", os.pathsep.join([str(SOURCE), str(TESTS)]))
        patch.setattr(runner, "runner_command", lambda run, until_judgement: self.command)
        self.command: list[str] = []
        self.started: list[subprocess.Popen[bytes]] = []
        start = subprocess.Popen
        patch.setattr(runner.subprocess, "Popen", lambda *words, **more: self.keep(start(*words, **more)))

    def keep(self, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        self.started.append(process)
        return process

    def end(self) -> None:
        """Leave nobody behind, whatever happened."""
        for process in self.started:
            process.kill()
            process.wait()

    @property
    def training(self) -> Path:
        return self.run.phase("baseline").root / "train.attempt-1"

    def start(self, step: int) -> set[int]:
        """Start the runner, wait until training has done `step` steps, return its session's processes."""
        words = (str(self.run.root), str(self.folder), str(step))
        self.command = [sys.executable, "-c", f"import loop_children; loop_children.engine_runner{words!r}"]
        start_runner(self.run, until_judgement=False)
        assert (self.folder / "reached").read_text() == "here"
        found = holder(self.run)
        assert found is not None
        return session(found.pid)


def session(leader: int) -> set[int]:
    """Return the living processes of a session (proc(5): field 6 of stat, the third behind the name)."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] not in "ZX":
            found.add(int(path.parent.name))
    return found


def gone_in_time(pids: set[int]) -> bool:
    """Wait until every one of these processes has ended, each at most for as long as a stop may take."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        ended = poll.poll(PATIENCE_MILLISECONDS)
        os.close(descriptor)
        if not ended:
            return False
    return True


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineRun]:
    found = EngineRun(tmp_path, monkeypatch)
    yield found
    found.end()


def by_verb(engine: EngineRun, say: Callable[..., object]) -> None:
    assert say("stop", engine.run.root).record["status"] == "stopped"


def by_interrupt(engine: EngineRun, say: Callable[..., object]) -> None:
    found = holder(engine.run)
    assert found is not None
    os.kill(found.pid, signal.SIGINT)


def by_kill(engine: EngineRun, say: Callable[..., object]) -> None:
    found = holder(engine.run)
    assert found is not None
    os.kill(found.pid, signal.SIGKILL)


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("end", "lost_steps", "name"),
    [
        (by_verb, 0, "deft stop (SIGTERM)"),
        (by_interrupt, 0, "SIGINT"),
        (by_kill, STEPS_PER_EPOCH, "kill -9 of the runner"),
    ],
)
def test_a_training_told_to_end_leaves_nobody_and_loses_no_more_than_an_epoch(
    engine, say, figure, end, lost_steps, name
):
    pids = engine.start(STOPPED_AT)
    assert len(pids) >= 2, "runner and tool"
    end(engine, say)
    assert gone_in_time(pids)
    assert holder(engine.run) is None
    assert outcome_of(engine.run)["status"] == "stopped"
    assert "Traceback" not in (engine.run.runner / "output.log").read_text()
    assert [entry for entry in read(engine.run.log) if entry["kind"] == "stage"] == []

    if end is by_kill:  # the tool dies with its parent, not when it next writes to a pipe that nobody reads
        assert "FAILURE" not in (engine.training / "status.json").read_text()

    newest = read_checkpoint(next(engine.training.glob("*_latest.pth")))
    assert newest["global_step"] >= STOPPED_AT - lost_steps

    reached = engine.start(EPOCHS * STEPS_PER_EPOCH)
    assert "Resuming training from checkpoint" in (engine.training / "train.log").read_text()
    end_of_test(engine, say, reached)
    figure(
        f"{name} in a training on the real engine, detached",
        "exit within 30 s, no orphan, at most one epoch lost",
        f"{len(pids)} processes gone, "
        f"checkpoint at step {newest['global_step']} of {STOPPED_AT} or more, resumed",
    )


def end_of_test(engine: EngineRun, say: Callable[..., object], pids: set[int]) -> None:
    """Let the run end here: its training has proved what it had to."""
    by_verb(engine, say)
    assert gone_in_time(pids)
    assert join_runner(engine.run, wait_seconds=0)["status"] == "stopped"
