"""One runner a run: a kernel lock that dies with its process, and a record of who holds it.

The lock decides; the record only says who. A record outlives a killed holder, so it counts only while the
same process (boot, pid and start time) is alive. Nothing ever has to be unlocked by hand.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from deft import files
from deft.errors import DeftError, RunBusy
from deft.run.log import TIME_FORMAT, utc_now
from deft.workspace.layout import RunFolder


@dataclass(frozen=True)
class Holder:
    """The process that holds a run: pid, start in clock ticks after boot, the boot, and since when."""

    pid: int
    starttime: int
    boot_id: str
    since: str

    @classmethod
    def this_process(cls) -> Holder:
        """Describe the calling process."""
        pid = os.getpid()
        return cls(pid, _start_time(pid) or 0, _boot_id(), utc_now().strftime(TIME_FORMAT))

    def is_alive(self) -> bool:
        """Say whether this very process still runs (a reused pid or another boot is somebody else)."""
        return self.boot_id == _boot_id() and self.starttime == _start_time(self.pid)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _start_time(pid: int) -> int | None:
    """Return a process's start in clock ticks after boot; None when it is gone or a zombie (proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # a command's name may hold blanks and brackets
    return None if fields[0] in "ZX" else int(fields[19])


def holder(run: RunFolder) -> Holder | None:
    """Return the live holder of a run without taking the lock; None when nobody runs it."""
    recorded = _recorded(run)
    return recorded if recorded is not None and recorded.is_alive() else None


def _recorded(run: RunFolder) -> Holder | None:
    try:
        record = files.read_json(_holder_path(run))
        return Holder(record["pid"], record["starttime"], record["boot_id"], record["since"])
    except (DeftError, OSError, KeyError, TypeError):
        return None  # no record, or one that says nothing: the kernel lock alone decides


def _holder_path(run: RunFolder) -> Path:
    return run.runner / "holder.json"


class RunLock:
    """Hold a run while the `with` block lasts; a second holder gets RunBusy with the first one's pid."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._lock: FileLock | None = None

    def __enter__(self) -> RunLock:
        files.make_folder(self._run.runner)
        lock = FileLock(self._run.runner / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise _busy(self._run) from None
        try:
            files.write_json(_holder_path(self._run), asdict(Holder.this_process()))
        except BaseException:
            lock.release()
            raise
        self._lock = lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._lock is not None
        try:
            _holder_path(self._run).unlink(missing_ok=True)
        finally:
            self._lock.release()


def _busy(run: RunFolder) -> RunBusy:
    found = holder(run)
    who = (
        f"pid {found.pid}, since {found.since}"
        if found
        else "a process that is just starting, just ending, or on another host"
    )
    where = shlex.quote(str(run.root))
    return RunBusy("run is busy", value=who, hint=f"deft status {where}, or deft stop {where}")
