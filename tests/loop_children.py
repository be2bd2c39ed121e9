"""Processes of their own that work on a run with the stub platform, to be killed, stopped and joined.

They are forked from a server that has imported everything once, so that each costs milliseconds.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from deft import files, runner
from deft.loop import run_loop
from deft.platforms import embedded
from deft.platforms.base import ToolCall
from deft.progress import parse_progress_line
from deft.run import state
from deft.run.log import LoopLog
from deft.stages import base
from deft.workspace.layout import RunFolder
from loop_fixtures import SILENT, use_stub
from stub_platform import StubPlatform

TESTS = Path(__file__).resolve().parent
SOURCE = TESTS.parent / "src"


def child(function: Callable[..., Any], *arguments: object) -> ForkServerProcess:
    """Start a function of this module in a process of its own, with the environment of this moment."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    old = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(SOURCE), str(TESTS)]
    )  # the server reads it when it starts
    try:
        process = context.Process(target=_in_child, args=(dict(os.environ), function, arguments))
        process.start()
    finally:
        os.environ.pop("PYTHONPATH") if old is None else os.environ.update(PYTHONPATH=old)
    return process


def _in_child(environment: dict[str, str], function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the tools talk; lives as long as the child
    runner.render_report = lambda run: run.report  # the page takes longer than the loop
    result = function(*arguments)
    sys.exit(result if isinstance(result, int) else 0)


# --- killed at a point of every stage --------------------------------------------------------

POINTS = (
    "before the work",
    "within the work",
    "before the manifest",
    "before the rename",
    "after the rename",
    "before the line",
    "before the state",
    "after the state",
    "before the note",
)


def run_and_be_killed(root: str, point: str, done: str) -> None:
    """Do the loop and die at `point` of the first stage that is not yet named in the file `done`."""
    patch = pytest.MonkeyPatch()
    killer = Killer(Path(done))
    use_stub(patch, StubPlatform(before=killer.before_call(point)))
    if point in HOOKS:
        HOOKS[point](patch, killer)
    watch_stages(patch, killer)
    run_loop(RunFolder(Path(root)), SILENT)


class Killer:
    """Kills this process once in each stage, and remembers on disk where it did."""

    def __init__(self, done: Path) -> None:
        self.done, self.step = done, ""

    def strike(self) -> None:
        """Die, unless somebody died here before."""
        if self.step and self.step not in self.done.read_text().splitlines():
            files.append_line(self.done, f"{self.step}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def struck(*arguments: Any, **options: Any) -> Any:
            self.strike()
            return function(*arguments, **options)

        return struck

    def after(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def striking(*arguments: Any, **options: Any) -> Any:
            result = function(*arguments, **options)
            self.strike()
            return result

        return striking

    def before_call(self, point: str) -> Callable[[ToolCall], None]:
        """Strike before the second tool call of a stage that has several, else before its only one."""
        seen: list[str] = []

        def look(call: ToolCall) -> None:
            seen.append(self.step)
            several = call.name in ("visual_changenet inference", "embedding image_embeddings")
            if point == "within the work" and (not several or seen.count(self.step) > 1):
                self.strike()

        return look


def watch_stages(patch: pytest.MonkeyPatch, killer: Killer) -> None:
    """Let the killer know which stage is at work."""
    execute = base.Stage.execute

    def watched(stage: base.Stage, context: base.StageContext, log: LoopLog) -> Any:
        killer.step = f"{context.phase.name}/{stage.name}"
        return execute(stage, context, log)

    patch.setattr(base.Stage, "execute", watched)


def _before_note(patch: pytest.MonkeyPatch, killer: Killer) -> None:
    append = LoopLog.append

    def appended(log: LoopLog, entry: dict[str, Any]) -> Any:
        if entry["stage"] == "spot_check":
            killer.strike()
        return append(log, entry)

    patch.setattr(LoopLog, "append", appended)


def _before_state(patch: pytest.MonkeyPatch, killer: Killer) -> None:
    patch.setattr(state, "_replace", killer.before(state._replace))


HOOKS: dict[str, Callable[[pytest.MonkeyPatch, Killer], None]] = {
    "before the work": lambda patch, killer: patch.setattr(base.Stage, "_do", killer.before(base.Stage._do)),
    "before the manifest": lambda patch, killer: patch.setattr(
        base, "write_manifest", killer.before(base.write_manifest)
    ),
    "before the rename": lambda patch, killer: patch.setattr(
        base, "_put_in_place", killer.before(base._put_in_place)
    ),
    "after the rename": lambda patch, killer: patch.setattr(
        base, "_put_in_place", killer.after(base._put_in_place)
    ),
    "before the line": lambda patch, killer: patch.setattr(
        base.Stage, "_record", killer.before(base.Stage._record)
    ),
    "before the state": _before_state,
    "after the state": lambda patch, killer: patch.setattr(state, "_replace", killer.after(state._replace)),
    "before the note": _before_note,
}


# --- killed at any moment --------------------------------------------------------------------


def run_and_count(root: str, limit: int, counted: str) -> None:
    """Do the loop and die after `limit` calls and returns of functions; with 0, finish and say how many."""
    use_stub(pytest.MonkeyPatch())
    count = itertools.count(1)

    def event(frame: Any, kind: str, argument: Any) -> None:
        if next(count) == limit:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(event)
    run_loop(RunFolder(Path(root)), SILENT)
    sys.setprofile(None)
    files.write_text(Path(counted), str(next(count)))


# --- runners ---------------------------------------------------------------------------------


def work_as_runner(root: str, hold: str, *flags: str) -> int:
    """Be the runner of a run on the stub platform; wait at the first tool call when `hold` is a folder.

    In that folder `reached` and `go` are FIFOs: the runner writes to the one and reads from the other.
    """
    use_stub(pytest.MonkeyPatch(), StubPlatform(before=_waiting(Path(hold)) if hold else lambda call: None))
    return runner.main([root, *flags])


def _waiting(folder: Path) -> Callable[[ToolCall], None]:
    calls: list[ToolCall] = []

    def before(call: ToolCall) -> None:
        calls.append(call)
        if len(calls) == 1:
            (folder / "reached").write_text("here")
            (folder / "go").read_text()

    return before


def start_and_join(root: str, hold: str) -> None:
    """Start the runner as `deft run` does, in a session that a terminal could close, and wait for its end."""
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may have told it not to listen
    run = RunFolder(Path(root))
    words = ["-c", f"import loop_children; loop_children.detached({root!r}, {hold!r})"]
    runner.runner_command = lambda run, until_judgement: [sys.executable, *words]
    runner.SOURCE = os.pathsep.join([str(SOURCE), str(TESTS)])
    runner.start_runner(run, until_judgement=False)
    runner.join_runner(run, wait_seconds=None)


def detached(root: str, hold: str) -> None:
    """Be the process that `start_and_join` starts."""
    runner.render_report = lambda run: run.report
    sys.exit(work_as_runner(root, hold))


def engine_runner(root: str, hold: str, step: str) -> None:
    """Be a detached runner on the real engine; when training has done `step` steps, say so and go on."""
    advance, runner.render_report = embedded._advance, lambda run: run.report

    def advanced(task: Any, line: str) -> bool:
        found = parse_progress_line(line)
        if found is not None and found.done == float(step):
            (Path(hold) / "reached").write_text("here")
        return advance(task, line)

    embedded._advance = advanced
    sys.exit(runner.main([root]))


def run_engine_and_be_killed(root: str, done: str) -> None:
    """Do the loop on the real engine and die once in each stage: in the middle of its tool, if it has one."""
    patch = pytest.MonkeyPatch()
    killer = Killer(Path(done))
    steps: list[str] = []

    def advance(task: Any, line: str) -> bool:
        if parse_progress_line(line) is not None:
            steps.append(killer.step)
        if steps.count(killer.step) > 2:
            killer.strike()
        return real_advance(task, line)

    real_advance = embedded._advance
    patch.setattr(embedded, "_advance", advance)
    patch.setattr(base, "_put_in_place", killer.before(base._put_in_place))
    watch_stages(patch, killer)
    run_loop(RunFolder(Path(root)), SILENT)
