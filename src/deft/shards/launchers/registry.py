"""The launchers by name."""

from __future__ import annotations

from collections.abc import Callable

from deft.errors import UsageError
from deft.shards.launchers.base import Launcher
from deft.shards.launchers.kubernetes import KubernetesLauncher
from deft.shards.launchers.local import LocalLauncher
from deft.shards.launchers.ray_cluster import RayLauncher
from deft.shards.launchers.slurm import SlurmLauncher

LAUNCHERS: dict[str, Callable[[int | None], Launcher]] = {
    "kubernetes": KubernetesLauncher,
    "local": LocalLauncher,
    "ray": RayLauncher,
    "slurm": SlurmLauncher,
}


def launcher_named(name: str, workers: int | None) -> Launcher:
    """Return a launcher; `workers` bounds how many shards are under way at once."""
    if name not in LAUNCHERS:
        raise UsageError("no such launcher", value=name, hint=f"one of {', '.join(LAUNCHERS)}")
    return LAUNCHERS[name](workers)
