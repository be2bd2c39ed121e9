"""Every error a user can meet, one exit code a family.

DeftError
├── StageFailed        1  a stage or a tool ended badly
├── UsageError         2  the command line or a target does not parse
├── InputRefused       3  the data breaks a rule of the workspace
│   └── LeakageFound      the same image stands on two sides
├── StateConflict      4  busy, not approved, out of order, changed since approval
│   ├── NotApproved
│   └── RunBusy
├── EnvironmentMissing 5  a package, an image, a GPU or a daemon is not there
└── Corruption         6  a record on disk is not what was written

A message is a fact, the value received and the next command (contracts: exit codes, loop.md "Records").
"""

from __future__ import annotations

import errno
import os


class DeftError(Exception):
    """State a fact, the value that was received and the command that helps (None: the fact says it all)."""

    exit_code = 1

    def __init__(self, fact: str, *, value: object = None, hint: str | None = "") -> None:
        self.fact, self.value, self.hint, self.says_all = fact, value, hint or "", hint is None
        super().__init__(self.message())

    def message(self) -> str:
        """Return `fact: value` and, on a second line, the hint."""
        first = self.fact if self.value is None else f"{self.fact}: {self.value}"
        return f"{first}\nhint: {self.hint}" if self.hint else first


class StageFailed(DeftError):
    """A stage or a tool ended badly."""

    exit_code = 1


class UsageError(DeftError):
    """The command line, a key or a target does not parse."""

    exit_code = 2


class InputRefused(DeftError):
    """The data breaks a rule of the workspace."""

    exit_code = 3


class LeakageFound(InputRefused):
    """The same image stands on two sides."""


class StateConflict(DeftError):
    """The run is not in a state that allows this."""

    exit_code = 4


class NotApproved(StateConflict):
    """Nobody approved exactly this plan."""


class RunBusy(StateConflict):
    """Another process holds the run."""


class EnvironmentMissing(DeftError):
    """A package, an image, a GPU or a daemon is not there."""

    exit_code = 5


class Corruption(DeftError):
    """A record on disk is not what was written."""

    exit_code = 6


STORAGE_HINT = (
    "free space (`deft clean` removes old checkpoints) or choose a writable folder, then repeat the command"
)
DISK_HINT = "have the disk checked (see `dmesg`), then repeat the command: nothing recorded was lost"
STORAGE_FACTS = {
    errno.ENOSPC: ("no space left on the device", STORAGE_HINT),
    errno.EDQUOT: ("the disk quota is used up", STORAGE_HINT),
    errno.EROFS: ("the file system is read-only", STORAGE_HINT),
    errno.EACCES: ("permission denied", STORAGE_HINT),
    errno.EIO: ("the disk failed to read or write", DISK_HINT),
}


def storage_fault(error: OSError) -> EnvironmentMissing | None:
    """Return what to tell a user whose disk takes no more, or fails; None for any other error."""
    fact, hint = STORAGE_FACTS.get(error.errno or 0, ("", ""))
    if not fact:
        return None
    return EnvironmentMissing(fact, value=error.filename or "unknown file", hint=hint)


PATH_FACTS = {
    errno.EEXIST: ("a file stands where a folder is wanted", "name another folder, or move the file away"),
    errno.ENOTDIR: ("a file stands where a folder is wanted", "name another folder, or move the file away"),
    errno.EISDIR: ("a folder stands where a file is wanted", "name a file, not its folder"),
    errno.ENOENT: (
        "path does not exist and was not made",
        "check the path, then repeat the command",
    ),
}


def path_fault(error: OSError) -> InputRefused | None:
    """Return what to tell a user whose path is of the wrong kind; None where what stands there is as it was.

    The disk is asked again: a folder that we made twice or a file that is there after all is a fault of ours.
    """
    fact, hint = PATH_FACTS.get(error.errno or 0, ("", ""))
    if not fact or not isinstance(error.filename, str) or not error.filename:
        return None
    named = error.filename
    if error.errno == errno.EISDIR:
        holds = os.path.isdir(named)
    elif error.errno == errno.ENOENT:
        holds = os.sep in named and not os.path.lexists(named)  # a bare name is a program that is not there
    else:
        named = _file_on_the_way(named)
        holds = bool(named)
    return InputRefused(fact, value=named, hint=hint) if holds else None


def _file_on_the_way(path: str) -> str:
    """Return the first file among a path and the folders above it; nothing where all are folders."""
    while path and not os.path.lexists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path if os.path.isfile(path) else ""
