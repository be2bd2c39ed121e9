"""Workers as processes of this machine, which share its processors and end with their parent."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from deft.platforms.embedded import die_with_parent
from deft.shards.launchers.base import worker_command
from deft.shards.ledger import Shard, ShardFolder

LOOK_SECONDS = 0.2
LAST_BYTES = 2000
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class LocalLauncher:
    """Up to `workers` processes (one a processor where that is None)."""

    def __init__(self, workers: int | None = None) -> None:
        self._processors = len(os.sched_getaffinity(0))
        self._workers = workers or self._processors

    def launch(self, folder: ShardFolder, shards: Sequence[Shard], done: Callable[[], None]) -> str:
        """Deal the shards out to the workers and wait; return the last words of one that failed."""
        count = min(self._workers, len(shards))
        with ExitStack() as stack:
            logs = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(count)]
            children = [
                self._start(worker_command(folder, shards[n::count]), log) for n, log in enumerate(logs)
            ]
            try:
                while any(child.poll() is None for child in children):
                    time.sleep(LOOK_SECONDS)
                    done()
            finally:
                for child in children:
                    child.kill()
                    child.wait()
            words = [_last(log) for child, log in zip(children, logs, strict=True) if child.returncode]
        return words[0] if words else ""

    def _start(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        source = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
        threads = str(max(1, self._processors // self._workers))
        environment = {**os.environ, "PYTHONPATH": path, **dict.fromkeys(THREAD_VARIABLES, threads)}
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=environment,
            preexec_fn=die_with_parent,
        )


def _last(log: IO[bytes]) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - LAST_BYTES))
    return log.read().decode("utf-8", errors="replace").strip()
