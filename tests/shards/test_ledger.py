from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from deft import files
from deft.errors import Corruption, InputRefused, UsageError
from deft.shards.ledger import Receipt, Shard, ShardFolder, write_ledger

SHARDS = [Shard(f"{n:05d}", "/pool.parquet", 10 * n, 10 * n + 10, f"{n:064d}") for n in range(25)]


@pytest.fixture
def folder(tmp_path: Path) -> ShardFolder:
    files.write_json(tmp_path / "plan.json", {"settings": {"work": {"value": "mining"}}})
    write_ledger(tmp_path, SHARDS, {"encoder": {"model": "SigLIP"}, "rows": 250})
    return ShardFolder.at(tmp_path)


def test_the_shards_come_back_as_they_were_planned(folder: ShardFolder) -> None:
    assert folder.shards == SHARDS
    assert folder.setting("work") == "mining"
    assert pd.read_parquet(folder.root / "shards.parquet")["sha256"].nunique() == 25


def test_a_folder_that_was_not_planned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"holds no plan\.json"):
        ShardFolder.at(tmp_path)


def test_an_edited_table_of_shards_is_corruption(folder: ShardFolder) -> None:
    table = pd.read_parquet(folder.root / "shards.parquet")
    files.write_parquet(folder.root / "shards.parquet", table.assign(start=0))
    with pytest.raises(Corruption, match="not the planned one"):
        _ = folder.shards


def test_a_number_outside_the_plan_is_refused(folder: ShardFolder) -> None:
    assert folder.shard(24) == SHARDS[24]
    with pytest.raises(UsageError, match="0 to 24"):
        folder.shard(25)


def test_few_shards_are_named_in_the_command_and_many_are_not(folder: ShardFolder) -> None:
    assert folder.again(SHARDS[3:5]).endswith(" --id 3 --id 4")
    assert folder.again(SHARDS) == f"deft shard run {folder.root}"


def test_a_receipt_that_is_none_is_none(tmp_path: Path) -> None:
    for text in ("", "{", "[]", '{"shard": "00000"}'):
        path = files.write_text(tmp_path / "r.ok", text)
        assert Receipt.read(path) is None
    assert Receipt.read(tmp_path / "absent.ok") is None


def test_every_shard_begins_undone(folder: ShardFolder) -> None:
    assert set(folder.faults().values()) == {"not done"}
    assert folder.unfinished() == SHARDS
