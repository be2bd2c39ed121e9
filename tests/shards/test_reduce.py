from __future__ import annotations

import pytest

from deft.errors import InputRefused
from deft.shards.reduce import clear_up, require_verified
from deft.shards.worker import run_shard
from shard_fixtures import Mining


def test_all_that_does_not_count_is_named_at_once(mining: Mining) -> None:
    folder = mining.plan("cut", 4)
    run_shard(folder, 2)
    with pytest.raises(
        InputRefused, match="3 of 4 shards do not count: 00000: not done; 00001: not done; 00003"
    ):
        require_verified(folder)


def test_what_workers_left_behind_goes_and_results_stay(mining: Mining) -> None:
    folder = mining.plan("cut", 1)
    run_shard(folder, 0)
    left = folder.root / "shards"
    for name in ("00000.attempt-2.tmp", "00000.attempt-3.ok.tmp", "00000.put-aside-2"):
        (left / name).touch()
    clear_up(folder)
    assert sorted(path.name for path in left.iterdir()) == ["00000.ok", "00000.parquet"]
