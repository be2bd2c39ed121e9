"""What a user says of a Slurm cluster, each value checked before it can reach a command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deft.errors import UsageError
from deft.platforms.containers import IMAGE_SETTINGS

EMBEDDED, PYXIS = "embedded", "pyxis"
NAME = r"[A-Za-z0-9_][A-Za-z0-9_.@,-]{0,200}"
TEXTS: dict[str, tuple[str, str]] = {
    "partition": (NAME, "gpu"),
    "account": (NAME, "vision"),
    "qos": (NAME, "normal"),
    "constraint": (r"[A-Za-z0-9_(\[][A-Za-z0-9_.&|()\[\]*,-]{0,200}", "a100|h100"),
    "time_limit": (r"([0-9]{1,3}-)?[0-9]{1,4}:[0-5][0-9]:[0-5][0-9]", "'04:00:00', in quotes"),
    "memory": (r"[1-9][0-9]{0,9}[KMGT]?", "64G"),
    "gpus": (r"[A-Za-z][A-Za-z0-9_.-]{0,60}", "a100"),
    "engine": (f"{EMBEDDED}|{PYXIS}", EMBEDDED),
    "python": (r"/[^\x00-\x1f\x7f]{1,1000}", "/shared/venv/bin/python"),
    "gap_analysis": ("host|job", "host"),
}
NUMBERS: dict[str, tuple[float, float]] = {
    "cpus": (1, 4096),
    "array_limit": (1, 10_000),
    "poll_seconds": (0.01, 600),
    "grace_seconds": (0.1, 3600),
}
WHOLE = ("cpus", "array_limit")
SHARED = "shared_filesystem"
KNOWN_SETTINGS = (*TEXTS, *NUMBERS, SHARED, *IMAGE_SETTINGS)


@dataclass(frozen=True)
class SlurmSettings:
    """The settings in use; what is None is left to the cluster.

    `poll_seconds` is the pause between two looks at the job, `grace_seconds` how long a job that the
    controller does not know, or that ended without a result, may still turn out well before it is lost.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time_limit: str | None = None
    memory: str | None = None
    gpus: str | None = None
    engine: str = EMBEDDED
    python: str | None = None
    gap_analysis: str = "host"
    cpus: int | None = None
    array_limit: int = 16
    poll_seconds: float = 10.0
    grace_seconds: float = 60.0
    shared_filesystem: bool = False

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> SlurmSettings:
        """Return the settings; a value of another form is a UsageError that shows the form."""
        own = {name: _checked(name, value) for name, value in given.items() if name not in IMAGE_SETTINGS}
        return cls(**own)

    def options(self, gpus: int) -> list[str]:
        """Return the words of sbatch for these settings and a number of GPUs."""
        named = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "time": self.time_limit,
            "mem": self.memory,
            "cpus-per-task": self.cpus,
            "gres": ":".join(filter(None, ("gpu", self.gpus, str(gpus)))) if gpus else None,
        }
        return [f"--{name}={value}" for name, value in named.items() if value is not None]


def _checked(name: str, value: Any) -> Any:
    if name in TEXTS:
        pattern, example = TEXTS[name]
        if isinstance(value, str) and re.fullmatch(pattern, value):
            return value
        raise _refusal(name, value, f"write it like this: {name}: {example}")
    if name in NUMBERS:
        low, high = NUMBERS[name]
        kinds = int if name in WHOLE else (int, float)
        if isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise _refusal(name, value, f"a number from {low} to {high}")
    if isinstance(value, bool):
        return value
    raise _refusal(name, value, "true or false")


def _refusal(name: str, value: Any, hint: str) -> UsageError:
    return UsageError(f"setting {name} of platform slurm has no such value", value=repr(value), hint=hint)


def seconds_of(time_limit: str) -> int | None:
    """Return a limit as Slurm writes it (`[days-]hours:minutes:seconds` and shorter) in seconds, None if it
    is no time.
    """
    days, _, clock = time_limit.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts) or (days and not days.isdigit()) or len(parts) > 3:
        return None
    hours, minutes, seconds = ([0, 0, 0] + [int(part) for part in parts])[-3:]
    return int(days or 0) * 86_400 + hours * 3_600 + minutes * 60 + seconds
