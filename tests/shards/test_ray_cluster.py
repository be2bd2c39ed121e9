"""On two real Ray nodes, one of which is killed in the middle, shards come out as on this machine alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from client.installation import ray_folder
from deft.errors import EnvironmentMissing
from deft.shards.launchers.ray_cluster import RayLauncher
from deft.shards.ledger import ShardFolder
from deft.shards.worker import run_shard
from deft.steps.shard import reduce_shards
from shard_fixtures import SOURCE, Mining, bytes_of

SHARDS = 16


@pytest.fixture
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the verb on two nodes; skip where Ray is not there."""
    if not ray_folder().is_dir():
        pytest.skip("Ray is not installed (tests/client/installation.py)")
    program = Path(__file__).with_name("ray_nodes.py")
    paths = os.pathsep.join([str(SOURCE), str(ray_folder())])
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
    place = {"RAY_TMPDIR": "/tmp", "PYTHONPATH": paths}  # its sockets want a short path

    def run(folder: ShardFolder, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(program), str(folder.root), *words]
        environment = {**os.environ, **quiet, **place}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=550)

    return run


@pytest.mark.whole
@pytest.mark.parametrize("words", [(), ("--kill",)], ids=["both nodes live", "one node is killed"])
def test_two_nodes_make_to_the_byte_what_one_process_makes(
    mining: Mining,
    nodes: Callable[..., subprocess.CompletedProcess[str]],
    words: tuple[str, ...],
    figure: Callable[[str, str, str], None],
) -> None:
    alone, folder = mining.plan("alone", 1), mining.plan("cut", SHARDS)
    run_shard(alone, 0)
    reduce_shards(alone)
    said = nodes(folder, *words)
    assert said.returncode == 0, said.stderr[-2000:]
    record = json.loads([line for line in said.stdout.splitlines() if line.startswith("{")][-1])
    assert record["done_now"] == SHARDS
    reduce_shards(folder)
    assert bytes_of(folder.root) == bytes_of(alone.root)
    what = "mined.parquet of two Ray nodes" + (", one killed" if words else "")
    figure(what, "byte-identical", "byte-identical")


def test_without_ray_the_way_to_it_is_told(mining: Mining, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    folder = mining.plan("cut", 1)
    with pytest.raises(EnvironmentMissing, match=r"Ray is not installed(?s:.*)deft-aoi\[ray\]"):
        RayLauncher().launch(folder, folder.shards, lambda: None)


def test_without_a_cluster_the_way_to_one_is_told(mining: Mining, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    folder = mining.plan("cut", 1)
    with pytest.raises(EnvironmentMissing, match=r"no Ray cluster answers(?s:.*)ray start --head"):
        RayLauncher().launch(folder, folder.shards, lambda: None)
