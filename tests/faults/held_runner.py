"""A runner inside the test's process that stands still at every tool call until it is told what comes next.

It is a thread that never runs beside the test: one of the two always waits for the other.
"""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from deft import runner
from deft.platforms.base import ToolCall
from deft.progress import Progress
from deft.run.lock import Holder
from deft.workspace.layout import RunFolder
from stub_platform import StubPlatform

NO_SUCH_PID = 2**22 + 1


class Killed(BaseException):
    """What stands for SIGKILL: nothing in the package may catch it to put things right."""


class QuietStub(StubPlatform):
    """The stub platform, whose tools keep what they say to themselves: one stdout serves all threads."""

    def __init__(self, stand_still: Callable[[ToolCall], None]) -> None:
        super().__init__()
        self._stand_still = stand_still

    def run(self, calls: Sequence[ToolCall], progress: Progress) -> None:
        for call in calls:
            self._stand_still(call)
            with contextlib.redirect_stdout(io.StringIO()):
                super().run([call], progress)


class HeldRunner:
    """At most one runner at work, which goes on call by call, is stopped, or is killed."""

    def __init__(self) -> None:
        self.stub = QuietStub(self._stand_still)
        self.run: RunFolder | None = None
        self._thread: threading.Thread | None = None
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._fate: type[BaseException] | None = None
        self.fault: BaseException | None = None

    @property
    def alive(self) -> bool:
        return self._thread is not None

    def start(self, run: RunFolder, *, until_judgement: bool) -> None:
        """Start the runner as `deft run` does; it stands still before its first tool call."""
        assert not self.alive, "a second runner was started beside the first"
        runner._outcome_path(run).unlink(missing_ok=True)
        self.run, self._fate = run, None
        self._thread = threading.Thread(target=self._work, args=(run, until_judgement))
        self._thread.start()
        self._wait()

    def advance(self) -> None:
        """Let one more tool call be done."""
        self._go.release()
        self._wait()

    def stop(self) -> None:
        """End the runner as SIGTERM does."""
        self._end(runner.StopRequested)

    def kill(self) -> None:
        """End the runner as SIGKILL does: the record of who held the run stays behind."""
        run = self.run
        assert run is not None
        left = replace(Holder.this_process(), pid=NO_SUCH_PID)
        self._end(Killed)
        (run.runner / "holder.json").write_text(json.dumps(asdict(left)))

    def _end(self, fate: type[BaseException]) -> None:
        self._fate = fate
        while self.alive:
            self.advance()

    def _wait(self) -> None:
        self._back.acquire()
        if self.run is None and self._thread is not None:
            self._thread.join()
            self._thread = None
        if self.fault is not None:
            raise self.fault

    def _work(self, run: RunFolder, until_judgement: bool) -> None:
        try:
            runner.work(run, until_judgement=until_judgement)
        except Killed:
            pass
        except BaseException as fault:  # noqa: BLE001 - told by the thread that waits
            self.fault = fault
        self.run = None
        self._back.release()

    def _stand_still(self, call: ToolCall) -> None:
        self._back.release()
        self._go.acquire()
        if self._fate is not None:
            raise self._fate
