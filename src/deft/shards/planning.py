"""Cut a piece of work into shards, and settle once what must be the same in all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from deft.embedding.candidates import Rule
from deft.errors import InputRefused, UsageError
from deft.shards import embedding_work, mining_work
from deft.shards.ledger import Shard, write_ledger
from deft.tools.image_embeddings import ImageEmbeddingsConfig

ID_DIGITS = 5
ROWS_PER_SHARD = {"embedding": 10_000, "mining": 100_000}


def shard_count(work: str, rows: int, wanted: int | None) -> int:
    """Return how many shards so many rows make: as many as wanted, else one for 10⁴ images or 10⁵ vectors."""
    if not rows:
        raise InputRefused("table has no rows", value=0)
    if wanted is not None and wanted < 1:
        raise UsageError("there must be at least 1 shard", value=wanted)
    return min(rows, wanted or -(-rows // ROWS_PER_SHARD[work]))


def plan_embedding(config: ImageEmbeddingsConfig, rows: int, count: int, root: Path) -> None:
    """Write the ledger of an embedding into `root`."""
    facts = embedding_work.settle(config, rows)
    source = Path(config.input_parquet)
    shards = _shards(source, rows, count, lambda start, stop: embedding_work.rows_digest(source, start, stop))
    write_ledger(root, list(shards), facts)


def plan_mining(targets: Path, pool: Path, rule: Rule, count: int, root: Path) -> None:
    """Write the ledger of a search into `root`."""
    facts = mining_work.settle(targets, pool, rule, root)
    offered = mining_work.Sides.open(targets, pool, rule.label_filter).pool
    shards = _shards(
        pool, offered.rows, count, lambda start, stop: mining_work.rows_digest(offered, start, stop)
    )
    write_ledger(root, list(shards), facts)


def _shards(source: Path, rows: int, count: int, digest: Callable[[int, int], str]) -> Iterator[Shard]:
    """Yield consecutive ranges of rows whose sizes differ by one at most."""
    for number in range(count):
        start, stop = rows * number // count, rows * (number + 1) // count
        yield Shard(f"{number:0{ID_DIGITS}d}", str(source), start, stop, digest(start, stop))
