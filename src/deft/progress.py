"""How far a task is: bars for people, a file for the detached runner, lines between processes, silence."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

LINE_PREFIX = "PROGRESS "
SECONDS_BETWEEN_WRITES = 1.0


class Task(Protocol):
    """One task under way."""

    def advance(self, amount: float = 1) -> None:
        """Count `amount` more units as done."""

    def reach(self, done: float, total: float | None = None) -> None:
        """Set how much is done, and the total once it is known."""


class Progress(Protocol):
    """Whatever can show tasks."""

    def task(self, name: str, total: float | None = None, unit: str = "step") -> AbstractContextManager[Task]:
        """Open a task; leaving the block closes it. `total` None means unknown."""


def for_terminal() -> Progress:
    """Return bars when stderr is a terminal, otherwise silence."""
    return RichProgress() if sys.stderr.isatty() else NullProgress()


# --- silence ---------------------------------------------------------------------------------


class NullTask:
    """A task that nobody watches."""

    def advance(self, amount: float = 1) -> None:
        """Do nothing."""

    def reach(self, done: float, total: float | None = None) -> None:
        """Do nothing."""


class NullProgress:
    """Show nothing."""

    @contextmanager
    def task(self, name: str, total: float | None = None, unit: str = "step") -> Iterator[Task]:
        """Open a task that shows nothing."""
        yield NullTask()


# --- bars ------------------------------------------------------------------------------------


@dataclass
class RichTask:
    """One bar."""

    bars: Bars
    number: int

    def advance(self, amount: float = 1) -> None:
        """Move the bar by `amount`."""
        from rich.progress import TaskID

        self.bars.advance(TaskID(self.number), amount)

    def reach(self, done: float, total: float | None = None) -> None:
        """Set the bar, and its length once it is known."""
        from rich.progress import TaskID

        self.bars.update(TaskID(self.number), completed=done, total=total)


class RichProgress:
    """Bars with counts and time left on stderr; tasks inside tasks stand below each other."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._open = 0

    @contextmanager
    def task(self, name: str, total: float | None = None, unit: str = "step") -> Iterator[Task]:
        """Open a bar; it disappears when the block ends, so that the log lines stay readable."""
        bars = self._bars = self._bars or _bars()
        self._open += 1
        bars.start()
        number = bars.add_task(name, total=total, unit=unit)
        try:
            yield RichTask(bars, number)
        finally:
            bars.remove_task(number)
            self._open -= 1
            if self._open == 0:
                bars.stop()


def _bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


# --- a file ----------------------------------------------------------------------------------


@dataclass
class FileTask:
    """One task whose record is written at most once a second, and when it opens."""

    name: str
    total: float | None
    unit: str
    write: Callable[[FileTask, bool], None]
    clock: Callable[[], float]
    done: float = 0.0
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def advance(self, amount: float = 1) -> None:
        """Count `amount` more units as done."""
        self.reach(self.done + amount)

    def reach(self, done: float, total: float | None = None) -> None:
        """Set how much is done, and the total once it is known."""
        self.done, self.total = done, self.total if total is None else total
        self.write(self, False)

    def record(self) -> dict[str, object]:
        """Return `task done total unit seconds_left`; the last is None until it can be estimated."""
        return {
            "task": self.name,
            "done": self.done,
            "total": self.total,
            "unit": self.unit,
            "seconds_left": self._seconds_left(),
        }

    def _seconds_left(self) -> int | None:
        if not self.total or not self.done:
            return None
        elapsed = self.clock() - self.started
        return max(0, round(elapsed / self.done * (self.total - self.done)))


class FileProgress:
    """Keep the innermost open task as a small JSON file that `deft status` reads."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._tasks: list[FileTask] = []
        self._last_write = float("-inf")

    @contextmanager
    def task(self, name: str, total: float | None = None, unit: str = "step") -> Iterator[Task]:
        """Open a task; when it ends the file shows the one around it, or goes away."""
        task = FileTask(name, total, unit, self._write, self._clock)
        self._tasks.append(task)
        self._write(task, True)
        try:
            yield task
        finally:
            self._tasks.remove(task)
            self._show_outer_task()

    def _show_outer_task(self) -> None:
        if self._tasks:
            self._write(self._tasks[-1], True)
        else:
            self._path.unlink(missing_ok=True)

    def _write(self, task: FileTask, at_once: bool) -> None:
        now = self._clock()
        if task is not self._tasks[-1] or not (at_once or now - self._last_write >= SECONDS_BETWEEN_WRITES):
            return
        from deft.files import write_json

        write_json(self._path, task.record())
        self._last_write = now


def read_progress(path: Path) -> dict[str, object] | None:
    """Return what `FileProgress` last wrote, or None when no task is open or the file is damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


# --- lines between processes -----------------------------------------------------------------


@dataclass(frozen=True)
class ProgressLine:
    """What a tool says about itself on stdout: `PROGRESS {"done": 3, "total": 10, "unit": "step"}`."""

    done: float
    total: float | None
    unit: str


def parse_progress_line(line: str) -> ProgressLine | None:
    """Return the figures of a progress line; None for any other line of a tool's output."""
    if not line.startswith(LINE_PREFIX):
        return None
    try:
        record = json.loads(line.removeprefix(LINE_PREFIX))
        total = record.get("total")
        unit = str(record.get("unit", "step"))
        return ProgressLine(float(record["done"]), None if total is None else float(total), unit)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
