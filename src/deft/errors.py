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


class DeftError(Exception):
    """State a fact, the value that was received and the command that helps."""

    exit_code = 1

    def __init__(self, fact: str, *, value: object = None, hint: str = "") -> None:
        self.fact, self.value, self.hint = fact, value, hint
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
