"""The warm process of a test worker: it records the whole run once and answers requests about it."""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


class Warm:
    """Asks the warm process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, what: str, **options: Any) -> Any:
        """Return the answer of one of the functions of `crash_requests`."""
        self._connection.send((what, options))
        fault, answer = self._connection.recv()
        assert not fault, answer
        return answer


@contextmanager
def warm_process(base: Path) -> Iterator[Warm]:
    """Start a fresh process, which has nothing of the test's own in memory, and end it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, str(base)), daemon=True)
    process.start()
    there.close()
    try:
        yield Warm(here)
    finally:
        here.close()
        process.join(10)
        process.kill()
        shutil.rmtree(base, ignore_errors=True)


def serve(connection: Connection, base: str) -> None:
    """Record, then answer until nobody asks any more."""
    for name in ("CLAUDECODE", "CLAUDE_CODE_SESSION_ID", "CLAUDE_ENV_FILE", "DEFT_SESSION_ID"):
        os.environ.pop(name, None)
    import crash_requests

    reference = crash_requests.prepare(Path(base))
    gc.collect()
    gc.freeze()
    while True:
        try:
            what, options = connection.recv()
        except EOFError:
            return
        try:
            connection.send(("", getattr(crash_requests, what)(reference, **options)))
        except BaseException:  # noqa: BLE001 - told to the test
            connection.send(("failed", traceback.format_exc()))


def fast_folder(name: str) -> Path:
    """Return a new folder, in memory where there is such a file system: no test here needs a real sync."""
    import tempfile

    memory = Path("/dev/shm")
    place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=place))
