"""What a task of an array runs: it reads its own line of shards and becomes the worker."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from deft import files
from deft.shards.ledger import Shard, ShardFolder
from deft.workspace.layout import cache_home, state_home

TASKS_AT_MOST = 1000  # what a Slurm cluster takes unless its MaxArraySize says otherwise
SOURCE = Path(__file__).resolve().parents[3]


def write_tasks(folder: ShardFolder, place: Path, shards: Sequence[Shard], python: str, index: str) -> int:
    """Write one line of shards a task, and the script `job.sh` of all; return the number of tasks.

    `index` names the variable that holds a task's number, from zero.
    """
    count = min(len(shards), TASKS_AT_MOST)
    lines = (" ".join(f"--id {int(shard.id)}" for shard in shards[n::count]) for n in range(count))
    files.write_text(place / "tasks", "".join(f"{line}\n" for line in lines))
    files.write_text(place / "job.sh", task_script(folder, place, python, index), mode=0o700)
    return count


def task_script(folder: ShardFolder, place: Path, python: str, index: str) -> str:
    """Return the script of a task."""
    worker = [python, "-m", "deft", "shard", "run", str(folder.root)]
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
            f'read -r -a ids <<<"${{tasks[${index}]}}"',
            f'exec {shlex.join(worker)} "${{ids[@]}}" --json',
            "",
        ]
    )
