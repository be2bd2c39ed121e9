"""Receipts alone say what is done, whatever a launcher does; a worker that died is followed by another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from deft.errors import StageFailed
from deft.progress import NullProgress
from deft.shards.launchers.base import run_missing, worker_command
from deft.shards.ledger import Shard, ShardFolder
from deft.shards.worker import run_shard
from shard_fixtures import Mining


class Forgetful:
    """Does one shard a launch and forgets the others."""

    def __init__(self, does: int) -> None:
        self.does, self.launches = does, 0

    def launch(self, folder: ShardFolder, shards: Sequence[Shard], done: Callable[[], None]) -> str:
        self.launches += 1
        for shard in shards[: self.does]:
            run_shard(folder, int(shard.id))
        done()
        return "the node is gone"


def test_what_a_dead_worker_left_is_given_out_again(mining: Mining) -> None:
    folder, launcher = mining.plan("cut", 3), Forgetful(1)
    assert run_missing(folder, launcher, NullProgress()) == 3
    assert launcher.launches == 3
    assert run_missing(folder, launcher, NullProgress()) == 0
    assert launcher.launches == 3


def test_what_is_left_after_three_rounds_is_named_with_its_command(mining: Mining) -> None:
    folder = mining.plan("cut", 5)
    with pytest.raises(StageFailed, match=r"(?s)2 of 5 shards were not done.*the node is gone") as failure:
        run_missing(folder, Forgetful(1), NullProgress())
    assert failure.value.hint == f"deft shard run {folder.root} --id 3 --id 4"


def test_a_worker_is_one_command(mining: Mining) -> None:
    folder = mining.plan("cut", 2)
    assert worker_command(folder, folder.shards)[1:] == [
        *("-m", "deft", "shard", "run", str(folder.root), "--id", "0", "--id", "1", "--json")
    ]
