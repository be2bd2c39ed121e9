"""Workers as the tasks of one array job of a Slurm cluster, at most so many at once."""

from __future__ import annotations

import os
import secrets
import shlex
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
from deft.shards.ledger import Shard, ShardFolder
from deft.workspace.layout import cache_home, state_home

TASKS_AT_MOST = 1000  # what a cluster takes unless its MaxArraySize says otherwise
SOURCE = Path(__file__).resolve().parents[3]


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
        count = min(len(shards), TASKS_AT_MOST)
        lines = (" ".join(f"--id {int(shard.id)}" for shard in shards[n::count]) for n in range(count))
        files.write_text(place / "tasks", "".join(f"{line}\n" for line in lines))
        script = files.write_text(place / "job.sh", array_script(folder, place, settings), mode=0o700)
        limit = self._workers or settings.array_limit
        cluster.submit([*array_words(place, count, limit), *settings.options(gpus=0), str(script)])
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


def array_script(folder: ShardFolder, place: Path, settings: SlurmSettings) -> str:
    """Return the script of a task: it reads its own line of shards and becomes the worker."""
    worker = [settings.python or sys.executable, "-m", "deft", "shard", "run", str(folder.root)]
    environment = {
        "PYTHONPATH": str(SOURCE),
        "XDG_STATE_HOME": str(state_home().parent),
        "XDG_CACHE_HOME": str(cache_home().parent),
    }
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"export {name}={shlex.quote(value)}" for name, value in environment.items()),
            f"mapfile -t tasks <{shlex.quote(str(place / 'tasks'))} || exit 73",
            'read -r -a ids <<<"${tasks[$SLURM_ARRAY_TASK_ID]}"',
            f'exec {shlex.join(worker)} "${{ids[@]}}" --json',
            "",
        ]
    )


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
