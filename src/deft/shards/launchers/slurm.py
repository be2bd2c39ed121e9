"""Workers as the tasks of one array job of a Slurm cluster, at most so many at once."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from deft import files
from deft.platforms.containers import tail
from deft.platforms.settings import read_platform_settings
from deft.platforms.slurm import cluster
from deft.platforms.slurm.cluster import ControllerSilent
from deft.platforms.slurm.settings import SlurmSettings
from deft.shards.launchers.task_script import write_tasks
from deft.shards.ledger import Shard, ShardFolder


class SlurmLauncher:
    """One array job; a worker that runs twice is harmless, so a lost one is simply given out again."""

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers

    def launch(self, folder: ShardFolder, shards: Sequence[Shard], done: Callable[[], None]) -> str:
        """Wait for an array that is still at work, else submit one; return the last words of a task."""
        section = read_platform_settings(Path(folder.plan["workspace"]), "slurm")
        settings = SlurmSettings.from_mapping(section)
        place = self._array_at_work(folder) or self._submit(folder, shards, settings)
        try:
            _wait(_name(place), lambda: not _unfinished(folder, shards), done, settings)
        except BaseException:
            cluster.cancel(_name(place))
            raise
        return _last_words(place)

    def _array_at_work(self, folder: ShardFolder) -> Path | None:
        """Find the array of a launcher that was killed."""
        for place in sorted((folder.root / "slurm").glob("*/")):
            try:
                seen = cluster.look_up(_name(place))
            except ControllerSilent:
                continue
            if seen is not None and seen.active:
                return place
        return None

    def _submit(self, folder: ShardFolder, shards: Sequence[Shard], settings: SlurmSettings) -> Path:
        """Write the tasks and the script, then submit; whether that worked shows when it is looked up."""
        place = files.make_folder(folder.root / "slurm") / secrets.token_hex(6)
        place.mkdir(mode=0o700)
        python = settings.python or sys.executable
        count = write_tasks(folder, place, shards, python, "SLURM_ARRAY_TASK_ID")
        limit = self._workers or settings.array_limit
        cluster.submit([*array_words(place, count, limit), *settings.options(gpus=0), str(place / "job.sh")])
        return place


def array_words(place: Path, count: int, limit: int) -> list[str]:
    """Return the words of sbatch for an array of `count` tasks, `limit` at once."""
    return [
        "--parsable",
        "--no-requeue",
        "--export=NONE",
        "--nodes=1",
        "--ntasks=1",
        f"--array=0-{count - 1}%{limit}",
        f"--job-name={_name(place)}",
        f"--chdir={place}",
        "--output=task-%a.log",
    ]


def _name(place: Path) -> str:
    return f"deft-shards-{place.name}"


def _unfinished(folder: ShardFolder, shards: Sequence[Shard]) -> bool:
    return any(not folder.receipt(shard).exists() for shard in shards)


def _wait(name: str, finished: Callable[[], bool], show: Callable[[], None], settings: SlurmSettings) -> None:
    """Wait until every shard has its receipt, or the array has been gone for the time of grace."""
    gone_since: float | None = None
    while not finished():
        show()
        try:
            seen = cluster.look_up(name)
            gone = seen is None or not seen.active
        except ControllerSilent:
            gone, gone_since = False, None
        if gone and gone_since is None:
            gone_since = time.monotonic()
        if not gone:
            gone_since = None
        elif gone_since is not None and time.monotonic() - gone_since >= settings.grace_seconds:
            break
        time.sleep(settings.poll_seconds)
    cluster.cancel(name)


def _last_words(place: Path) -> str:
    """Return the end of the log of a task that said something; nothing where none did."""
    logs = sorted(place.glob("task-*.log"), key=os.path.getmtime)
    return next((" ".join(lines) for lines in (tail(log, lines=3) for log in reversed(logs)) if lines), "")
