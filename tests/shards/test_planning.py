from __future__ import annotations

from itertools import pairwise

import pytest

from deft.errors import InputRefused, UsageError
from deft.shards.planning import shard_count
from shard_fixtures import ROWS, Mining


def test_shards_cover_the_rows_once_and_differ_by_one_row_at_most(mining: Mining) -> None:
    shards = mining.plan("cut", 7).shards
    assert (shards[0].start, shards[-1].stop) == (0, ROWS)
    assert all(one.stop == other.start for one, other in pairwise(shards))
    assert len({shard.stop - shard.start for shard in shards}) == 2
    assert [shard.id for shard in shards] == [f"{number:05d}" for number in range(7)]


def test_the_number_of_shards_follows_the_work() -> None:
    assert shard_count("embedding", 10_001, None) == 2
    assert shard_count("mining", 10_001, None) == 1
    assert shard_count("mining", 3, 8) == 3


def test_no_rows_and_no_shards_are_refused() -> None:
    with pytest.raises(InputRefused, match="no rows"):
        shard_count("mining", 0, None)
    with pytest.raises(UsageError, match="at least 1 shard"):
        shard_count("mining", 5, 0)


def test_the_same_plan_has_the_same_ledger(mining: Mining) -> None:
    one, other = mining.plan("one", 3), mining.plan("other", 3)
    assert one.facts == other.facts
