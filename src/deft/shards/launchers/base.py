"""The seam: a launcher starts `deft shard run FOLDER --id K` for shards, wherever it likes, and waits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from deft.errors import StageFailed
from deft.progress import Progress
from deft.shards.ledger import Shard, ShardFolder

ROUNDS = 3


class Launcher(Protocol):
    """A place that can run workers."""

    def launch(self, folder: ShardFolder, shards: Sequence[Shard], done: Callable[[], None]) -> str:
        """Start workers for these shards and wait until all have ended, however they did.

        `done` is called now and then, so that somebody can look. Returns the last words of a worker that
        failed, for people; whether a shard is done is read from its receipt alone.
        """


def worker_command(folder: ShardFolder, shards: Sequence[Shard]) -> list[str]:
    """Return the command that does some shards one after the other."""
    ids = [word for shard in shards for word in ("--id", str(int(shard.id)))]
    return [sys.executable, "-m", "deft", "shard", "run", str(folder.root), *ids, "--json"]


def run_missing(folder: ShardFolder, launcher: Launcher, progress: Progress) -> int:
    """Have every shard done that is not; return how many were.

    A shard whose worker died is given out again, up to three times in all. Raises StageFailed naming what is
    left and the command for it.
    """
    missing = list(folder.faults())
    wanted, words = len(missing), ""
    with progress.task("shards", total=wanted, unit="shard") as task:
        for _ in range(ROUNDS):
            if not missing:
                break
            words = launcher.launch(
                folder, missing, lambda: task.reach(wanted - len(folder.unfinished()), wanted)
            )
            missing = list(folder.faults())
    if missing:
        raise StageFailed(
            f"{len(missing)} of {len(folder.shards)} shards were not done\n  {words}".rstrip(),
            value=", ".join(shard.id for shard in missing[:5]),
            hint=folder.again(missing),
        )
    return wanted
