"""A warm process that records a whole run once, then walks through it again and breaks it at every call.

A walker does one segment of the run (what happens between two looks of the loop at its log: a stage, a note).
Before each system call it forks: the child is this very process in the middle of its work, and is killed, or
meets an errno. What it left on disk is then resumed by another child that begins anew, and compared with the
recorded run at the end of the segment; from there on the run is the recorded one, because the next segment
starts from the same bytes (`to_the_end` follows some to the very end nevertheless). The disk is put back, and
the walker goes on. Two breaks that leave the same bytes are resumed once.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import io
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from crash_trees import Disk, Told, Tree, differences, same_disk
from power_model import present_below
from power_promises import Acknowledged, acknowledging
from pure_functions import remember_pure_functions
from syscalls import Call, Shim, installed, path_of

import deft.loop
from deft import files, runner
from deft.run import spot_check
from deft.run.log import read
from deft.stages import rca
from deft.workspace.layout import RunFolder
from loop_fixtures import open_approved_run, use_stub
from tiny_workspace import make_workspace

ITERATIONS = 3
_getpid = os.getpid
NOBODY = 1 << 23  # above any process number of Linux
SIZES = {"train": (6, 1), "validation": (4, 1), "kpi": (8, 2), "holdout": (4, 1), "pool": (12, 4)}


class Reached(BaseException):
    """The end of the segment: the run is interrupted here, between two stages."""


@dataclass
class Reference:
    """The recorded run: its calls, where each segment begins, and the tree at that moment."""

    run: RunFolder
    calls: list[Call] = field(default_factory=list)
    opening: int = 0
    begins: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
    root: Path = Path()
    present: Tree = field(default_factory=dict)
    acknowledged: Acknowledged = field(default_factory=Acknowledged)

    def segment(self, number: int) -> range:
        """Return the numbers of the calls of a segment."""
        ends = [*self.begins, len(self.calls)]
        return range(ends[number], ends[number + 1])


def quiet() -> None:
    """Let the stub's world be small and silent: the page is a line, pictures are 8 pixels wide."""
    patch = pytest.MonkeyPatch()
    use_stub(patch)
    patch.setattr(rca, "PICTURE_SIZE", 8)
    patch.setattr(runner, "render_report", _page)
    patch.setattr(os, "scandir", _ordered(os.scandir))
    for module in [found for name, found in sys.modules.items() if name.startswith("deft.")]:
        if getattr(module, "ThreadPoolExecutor", None) is ThreadPoolExecutor:
            patch.setattr(module, "ThreadPoolExecutor", OneAfterAnother)
    remember_pure_functions()


class OneAfterAnother:
    """Does what threads would, one job after another: only the thread that forks lives on in a child."""

    def __init__(self, *arguments: object, **options: object) -> None:
        pass

    def __enter__(self) -> OneAfterAnother:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def map(self, function: Callable[..., Any], *jobs: Any, chunksize: int = 1) -> Iterator[Any]:
        """Do every job."""
        return map(function, *jobs)


def _ordered(scandir: Callable[..., Any]) -> Callable[..., Any]:
    """List folders in the order of their names: a disk that was put back lists them in another."""

    class Ordered:
        def __init__(self, place: Any = ".") -> None:
            with scandir(place) as entries:
                self.entries = iter(sorted(entries, key=lambda entry: entry.name))

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *error: object) -> None:
            self.close()

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            return next(self.entries)

        def close(self) -> None:
            pass

    return Ordered


def _page(run: RunFolder) -> Path:
    told = sum(entry["status"] == "ok" for entry in read(run.log) if entry["kind"] != "recovered")
    return files.write_text(run.report, f"<p>{told} lines</p>\n")


def record(base: Path) -> Reference:
    """Do a whole run under the shim, from the plan that waits to the last word of the runner."""
    quiet()
    os.getpid = lambda: NOBODY  # who wrote it will be gone, whenever the run is broken
    try:
        return _record(base)
    finally:
        os.getpid = _getpid


def _record(base: Path) -> Reference:
    workspace = make_workspace(base / "workspace", sizes=SIZES)
    shim = Shim(base, keep=True)
    present = present_below(str(base))
    with installed(shim), acknowledging(shim) as told, contextlib.redirect_stdout(io.StringIO()):
        run = open_approved_run(workspace, max_iterations=ITERATIONS)
        found = Reference(run, shim.calls, opening=shim.count, root=base, present=present, acknowledged=told)
        disk = Disk(run.root)

        def boundary() -> None:
            entries = read(run.log)
            found.begins.append(shim.count)
            found.lines.append(len(entries))
            found.names.append(f"{entries[-1]['iter']}/{entries[-1]['stage']}")
            found.trees.append(disk.scan())

        boundary()
        with looks(boundary):
            ended = runner.work(run, until_judgement=False)
        found.trees.append(disk.scan())
        found.lines.append(len(read(run.log)))
    assert ended == {"status": "complete"}
    return found


@contextlib.contextmanager
def looks(look: Callable[[], None]) -> Iterator[None]:
    """Have `look` called whenever the loop is between two stages."""
    real = spot_check.awaits_eyes

    def looked(*arguments: Any) -> bool:
        look()
        return real(*arguments)

    deft.loop.awaits_eyes = looked
    try:
        yield
    finally:
        deft.loop.awaits_eyes = real


# --- processes ---------------------------------------------------------------------------------


def in_child(function: Callable[[], Any]) -> tuple[int, Any]:
    """Do something in a fork of this process; return how it ended and what it returned."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _be_child(function, writing)
    os.close(writing)
    with open(reading, "rb") as stream:
        content = stream.read()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), pickle.loads(content) if content else None  # noqa: S301 - own


def _be_child(function: Callable[[], Any], writing: int) -> None:
    code = 1
    try:
        os.write(writing, b"") if function is None else _send(writing, function())
        code = 0
    except BaseException:  # noqa: BLE001 - told to the parent
        _send(writing, traceback.format_exc())
    finally:
        os._exit(code)


def _send(writing: int, result: object) -> None:
    with open(writing, "wb") as stream:
        stream.write(pickle.dumps(result))


@contextlib.contextmanager
def descriptors_kept(root: str) -> Iterator[None]:
    """Open anew, at the same place, every file below `root` that this process has open."""
    kept = []
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        with contextlib.suppress(OSError):
            path = path_of(descriptor)
            if path.startswith(root):
                flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
                kept.append((descriptor, path, flags, os.lseek(descriptor, 0, os.SEEK_CUR)))
    yield
    for descriptor, path, flags, position in kept:
        anew = os.open(path, flags & (os.O_ACCMODE | os.O_APPEND | os.O_DIRECTORY))
        os.dup2(anew, descriptor, inheritable=False)
        os.close(anew)
        if not flags & os.O_DIRECTORY:
            os.lseek(descriptor, position, os.SEEK_SET)


# --- walking -------------------------------------------------------------------------------------


@dataclass
class Findings:
    """What a walk found: points tried, disks that were resumed, and one sentence a fault of ours."""

    points: int = 0
    resumed: int = 0
    to_the_end: int = 0
    faults: list[str] = field(default_factory=list)
    told: dict[str, int] = field(default_factory=dict)

    def add(self, other: Findings) -> Findings:
        """Add what another walk found."""
        told = {name: self.told.get(name, 0) + other.told.get(name, 0) for name in {*self.told, *other.told}}
        return Findings(
            self.points + other.points,
            self.resumed + other.resumed,
            self.to_the_end + other.to_the_end,
            self.faults + other.faults,
            told,
        )


class Walker:
    """One walk through a segment; a subclass says how each call is broken."""

    def __init__(self, reference: Reference, segment: int, *, every: int = 0) -> None:
        self.reference, self.segment, self.every = reference, segment, every
        self.disk = Disk(reference.run.root)
        self.findings = Findings()
        self.seen: set[int] = set()
        self.wanted = Told(reference.trees[segment + 1])
        self.last = segment == len(reference.begins) - 1
        self.started = False
        self.number = reference.begins[segment]

    def walk(self) -> Findings:
        """Do the segment in a fork of this process; return what was found."""
        self.disk.restore(self.reference.trees[self.segment])
        code, findings = in_child(self._walk)
        if code:
            return Findings(faults=[f"walk through {self.name} broke off: {findings}"])
        assert isinstance(findings, Findings)
        return findings

    @property
    def name(self) -> str:
        return f"segment {self.segment} after {self.reference.names[self.segment]}"

    def here(self, call: Call) -> str:
        """Name a call and where it stands."""
        return f"{self.name}, call {self.number - 1} ({call.kind} {call.path[-60:]})"

    def _walk(self) -> Findings:
        nobodys_locks()
        shim = Shim(self.reference.run.root, before=self._before)
        looks_left = [1 if self.segment else 0]

        def look() -> None:
            if not looks_left[0]:
                self.started = False
                raise Reached
            looks_left[0] -= 1
            self.started = True

        self.started = self.segment == 0
        with installed(shim), looks(look), contextlib.redirect_stdout(io.StringIO()):
            self._work()
        if self.number != self.reference.segment(self.segment).stop:
            self.findings.faults.append(f"{self.name}: walked to call {self.number} of another run")
        return self.findings

    def _work(self) -> None:
        with contextlib.suppress(Reached):
            runner.work(self.reference.run, until_judgement=False)

    def _before(self, number: int, call: Call, part: Callable[[bytes], object] | None) -> None:
        if not self.started:
            return
        recorded = self.reference.calls[self.number]
        self.number += 1
        if recorded.kind != call.kind:
            raise AssertionError(f"call {self.number - 1} is {call.kind} {call.path}, was {recorded}")
        if recorded.failed:
            return
        self.started = False  # what happens below belongs to no walk
        self.visit(call, part)
        self.started = True

    def visit(self, call: Call, part: Callable[[bytes], object] | None) -> None:
        """Break one call in every way, and resume."""
        raise NotImplementedError

    # --- resuming --------------------------------------------------------------------------------

    def resume(self, what: str, key: object) -> None:
        """Resume from the disk as it is, once for each key, and compare."""
        digest = hash(key)
        if digest in self.seen:
            return
        self.seen.add(digest)
        self.findings.resumed += 1
        far = bool(self.every) and self.findings.resumed % self.every == 0
        self.findings.to_the_end += far
        code, told = in_child(lambda: resumed(self.reference, self.segment + 1, to_the_end=far))
        found = self.disk.scan()
        wanted = Told(self.reference.trees[-1]) if far else self.wanted
        if code or told is not None:
            self.findings.faults.append(f"{what}: resume failed: {told}")
            return
        names = differences(found, wanted, ended=far or self.last)
        if names:
            self.findings.faults.append(f"{what}: differs in {', '.join(names[:6])}")


def resumed(reference: Reference, boundary: int, *, to_the_end: bool) -> object:
    """Be a new runner on the run's disk, up to a boundary; return what went wrong, or None."""
    leave_the_walk()
    gc.disable()
    wanted = reference.lines[boundary]
    last = boundary == len(reference.begins)

    def look() -> None:
        told = [entry for entry in read(reference.run.log) if entry["kind"] != "recovered"]
        if not (to_the_end or last) and sum(entry["status"] == "ok" for entry in told) >= wanted:
            raise Reached

    with looks(look), contextlib.redirect_stdout(io.StringIO()):
        if last:
            ended = runner.work(reference.run, until_judgement=False)
            return None if ended == {"status": "complete"} else ended
        try:
            ended = runner.work(reference.run, until_judgement=False)
        except Reached:
            return None
    return None if to_the_end and ended == {"status": "complete"} else ended


_REAL = {(module, name): getattr(module, name) for module, name in __import__("syscalls")._PLACES}
_FLOCK = fcntl.flock


def nobodys_locks() -> None:
    """Let this process hold no lock and bear a number that nobody has: its children die in its place."""
    fcntl.flock = lambda *arguments: None
    os.getpid = lambda: NOBODY


def leave_the_walk() -> None:
    """Give the kernel back to a child of the walker."""
    for (module, name), value in _REAL.items():
        setattr(module, name, value)
    fcntl.flock, os.getpid = _FLOCK, _getpid


# --- kills ---------------------------------------------------------------------------------------


Part = Callable[[bytes], object] | None


class Kills(Walker):
    """SIGKILL before every call, and in every write after 0, 1, half, all but one and all bytes."""

    def visit(self, call: Call, part: Callable[[bytes], object] | None) -> None:
        before = self.disk.scan()
        for length in torn_lengths(call):
            with descriptors_kept(self.disk.root):
                self.findings.points += 1
                code, told = in_child(lambda length=length: _die(call, part, length))  # type: ignore[misc]
                what = f"{self.here(call)}, {length} bytes"
                if code != -signal.SIGKILL:
                    self.findings.faults.append(f"{what}: ended with {code}: {told}")
                self.resume(what, same_disk(self.disk.scan()))
                self.disk.restore(before)


def torn_lengths(call: Call) -> list[int]:
    """Return how many bytes of a call are done when the process dies; 0 where it writes none."""
    size = len(call.data)
    return sorted({0, 1, size // 2, size - 1, size}) if call.kind == "write" and size else [0]


def _die(call: Call, part: Callable[[bytes], object] | None, length: int) -> None:
    if length and part is not None:
        part(call.data[:length])
    os.kill(_getpid(), signal.SIGKILL)
