from __future__ import annotations

import pytest

from deft.errors import Corruption
from deft.shards.embedding_work import EmbeddingWork
from deft.shards.ledger import ShardFolder
from deft.shards.mining_work import MiningWork
from deft.shards.work import work_of


def planned(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path) -> ShardFolder:
    monkeypatch.setattr(ShardFolder, "setting", lambda folder, name: kind)
    return ShardFolder(tmp_path)


def test_the_plan_says_which_work_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    assert isinstance(work_of(planned("mining", monkeypatch, tmp_path)), MiningWork)
    assert isinstance(work_of(planned("embedding", monkeypatch, tmp_path)), EmbeddingWork)
    with pytest.raises(Corruption, match="kind of work that is none: sewing"):
        work_of(planned("sewing", monkeypatch, tmp_path))
