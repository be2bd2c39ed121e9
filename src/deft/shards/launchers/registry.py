"""The launchers by name."""

from __future__ import annotations

from deft.errors import UsageError
from deft.shards.launchers.base import Launcher
from deft.shards.launchers.local import LocalLauncher

LAUNCHERS = ("local",)


def launcher_named(name: str, workers: int | None) -> Launcher:
    """Return a launcher; `workers` bounds how many shards are under way at once."""
    if name == "local":
        return LocalLauncher(workers)
    raise UsageError("no such launcher", value=name, hint=f"one of {', '.join(LAUNCHERS)}")
