"""The two kinds of work that are done in shards; each knows how to compute one and what all amount to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO, Protocol

from deft.errors import Corruption, InputRefused
from deft.shards.ledger import Shard, ShardFolder

EMBEDDING, MINING = "embedding", "mining"
Count = Callable[[int], None]


class Work(Protocol):
    """One kind of work on one folder."""

    def seen(self, shard: Shard) -> dict[str, str]:
        """Return what tells later whether files that a shard's rows name are what they are now."""

    def changed(self, shard: Shard, seen: Mapping[str, str]) -> bool:
        """Tell whether files that a shard's rows name are others than those that were seen."""

    def compute(self, shard: Shard, stream: IO[bytes], progress: Count) -> int:
        """Write the result of a shard as Parquet; return its rows. `progress` counts rows that are done."""


def work_of(folder: ShardFolder) -> Work:
    """Return the work of a folder's plan."""
    kind = folder.setting("work")
    if kind == EMBEDDING:
        from deft.shards.embedding_work import EmbeddingWork

        return EmbeddingWork(folder)
    if kind == MINING:
        from deft.shards.mining_work import MiningWork

        return MiningWork(folder)
    raise Corruption("plan names a kind of work that is none", value=kind)


def rows_changed(shard: Shard) -> InputRefused:
    """Return what to tell about rows that are not the planned ones."""
    return InputRefused(
        f"rows {shard.start + 1} to {shard.stop} changed since the shards were planned",
        value=shard.source,
        hint="put the table back, or deft shard plan again",
    )
