"""Workers as tasks of a Ray cluster whose nodes share the file system and this Python environment."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deft.errors import EnvironmentMissing
from deft.shards.launchers.base import worker_command
from deft.shards.ledger import Shard, ShardFolder

LOOK_SECONDS = 0.5
CONNECT_SECONDS = 5.0
RETRIES = 2
LAST_CHARACTERS = 2000


class RayLauncher:
    """One task a shard, each on one processor of the cluster at RAY_ADDRESS (or of this machine's own).

    `workers` bounds how many are under way at once; None leaves that to the cluster.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers

    def launch(self, folder: ShardFolder, shards: Sequence[Shard], done: Callable[[], None]) -> str:
        """Hand the shards to the cluster and wait; return the last words of a task that failed.

        A task whose node died is given to another twice. Raises EnvironmentMissing without Ray or cluster.
        """
        ray = _connected()
        try:
            return self._follow(ray, [worker_command(folder, [shard]) for shard in shards], done)
        finally:
            ray.shutdown()

    def _follow(self, ray: Any, commands: list[list[str]], done: Callable[[], None]) -> str:
        """Keep as many tasks under way as wanted until all have ended."""
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(_task())
        path = _python_path()
        waiting, under_way, words = list(commands), list[Any](), ""
        while waiting or under_way:
            while waiting and len(under_way) < (self._workers or len(commands)):
                under_way.append(task.remote(waiting.pop(0), path))
            ended, under_way = ray.wait(under_way, timeout=LOOK_SECONDS)
            for one in ended:
                words = words or _words(ray, one)
            done()
        return words


def _connected() -> Any:
    """Return Ray, connected to a cluster that runs already."""
    try:
        import ray
    except ImportError:
        raise EnvironmentMissing("Ray is not installed", hint="pip install 'deft-aoi[ray]'") from None
    address = os.environ.get("RAY_ADDRESS", "auto")
    try:
        _require_listener(address)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise EnvironmentMissing(
            f"no Ray cluster answers ({reason})",
            value=address,
            hint="ray start --head --node-ip-address=127.0.0.2 --include-dashboard=false, or set RAY_ADDRESS",
        ) from None
    return ray


def _require_listener(address: str) -> None:
    """Raise OSError where nothing listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


def _task() -> Callable[[list[str], str], str]:
    """Return what runs on a node; made here, it travels whole, and a node need not know this module."""

    def task(command: list[str], path: str) -> str:
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return ended.stderr.strip()[-LAST_CHARACTERS:] if ended.returncode else ""

    return task


def _python_path() -> str:
    source = str(Path(__file__).resolve().parents[3])
    return os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])


def _words(ray: Any, ended: Any) -> str:
    try:
        return str(ray.get(ended))
    except ray.exceptions.RayError as error:
        return " ".join(str(error).split())[:LAST_CHARACTERS]
