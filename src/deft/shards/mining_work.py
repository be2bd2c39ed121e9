"""Mining in shards: each finds the nearest among its rows of the pool; together, among all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deft import files
from deft.embedding.candidates import CandidateSearch, Embedded, Matrix, Rule, sample_rows
from deft.embedding.selection import Selection, conclude
from deft.embedding.sets import EmbeddingSet, embedding_writer
from deft.embedding.tables import EmbeddingTable, TableBlock, require_same_space
from deft.shards.ledger import Shard, ShardFolder
from deft.shards.work import Count, rows_changed
from deft.workspace.rows import normalise_label

SAMPLE = "sample.parquet"
COMPARED = ("filepath", "label")
FOUND_SCHEMA = pa.schema(
    {
        "group": pa.string(),
        "target": pa.int64(),
        "row": pa.int64(),
        "distance": pa.float64(),
        "filepath": pa.string(),
    }
)


@dataclass(frozen=True)
class Sides:
    """The targets, in memory, and the pool, on disk."""

    targets: Embedded
    pool: EmbeddingTable

    @classmethod
    def open(cls, targets: Path, pool: Path, label_filter: str) -> Sides:
        """Open both sides of a search; tables of two encoders are refused."""
        form = None if label_filter == "none" else normalise_label
        wanted, offered = EmbeddingSet.read(targets), EmbeddingTable.open(pool, label_form=form)
        require_same_space(wanted, offered)
        table = wanted.table
        if form is not None:
            table = table.assign(label=table["label"].fillna("").astype(str).map(form))
        return cls(Embedded(table, wanted.matrix), offered)


def rule_of(value: Callable[[str], Any]) -> Rule:
    """Return the rule of a search from its settings, asked for by name."""
    return Rule(
        top_k=value("top_k_per_target"),
        metric=value("knn_metric"),
        label_filter=value("filter_by_label"),
        min_similarity=value("min_similarity"),
        synthetic_share=value("synthetic_share"),
    )


def settle(targets: Path, pool: Path, rule: Rule, destination: Path) -> dict[str, Any]:
    """Return what holds for all shards of a search; the pool's sample is written to `destination`."""
    sides = Sides.open(targets, pool, rule.label_filter)
    if rule.percentile is not None:
        rows = sample_rows(sides.pool.rows)
        with embedding_writer(destination / SAMPLE, {}, subject="row", storage="float32") as writer:
            writer.write(pa.table({"row": rows}), sides.pool.vectors_at(rows))
    return {"encoder": sides.pool.fingerprint or {}, "rows": sides.pool.rows}


def rows_digest(pool: EmbeddingTable, start: int, stop: int) -> str:
    """Return the hash of the paths, labels and vectors of some rows."""
    hashed = _Hashed(pool)
    for _ in hashed.blocks(COMPARED, start=start, stop=stop):
        pass
    return hashed.digest()


class _Hashed:
    """A pool that hashes what is read of it; the hash does not depend on the blocks."""

    def __init__(self, pool: EmbeddingTable) -> None:
        self._pool, self._texts, self._vectors = pool, hashlib.sha256(), hashlib.sha256()

    def blocks(
        self, columns: Sequence[str], *, start: int = 0, stop: int | None = None
    ) -> Iterator[TableBlock]:
        for block in self._pool.blocks(columns, start=start, stop=stop):
            for row in block.table.itertuples(index=False, name=None):
                self._texts.update(files.canonical_json([str(value) for value in row]).encode())
            self._vectors.update(block.matrix.astype("<f4", copy=False).tobytes())
            yield block

    def digest(self) -> str:
        return files.sha256_of_record([self._texts.hexdigest(), self._vectors.hexdigest()])


@dataclass(frozen=True)
class MiningWork:
    """The search that a folder's plan asks for."""

    folder: ShardFolder

    def rule(self) -> Rule:
        """Return the approved rule."""
        return rule_of(self.folder.setting)

    def sides(self) -> Sides:
        """Open the approved targets and pool."""
        targets, pool = Path(self.folder.setting("targets")), Path(self.folder.setting("pool"))
        return Sides.open(targets, pool, self.rule().label_filter)

    def search(self, sides: Sides) -> CandidateSearch:
        """Return the search before it has seen anything."""
        sample: Matrix | None = None
        if self.rule().percentile is not None:
            table = EmbeddingTable.open(self.folder.root / SAMPLE, required=("row",))
            sample = table.vectors_at(np.arange(table.rows))
        return CandidateSearch(sides.targets, self.rule(), sample)

    def seen(self, shard: Shard) -> dict[str, str]:
        """Return nothing: the vectors are hashed, and the files that they are of count no more."""
        return {}

    def changed(self, shard: Shard, seen: Mapping[str, str]) -> bool:
        """Return no, as `seen` says why."""
        return False

    def compute(self, shard: Shard, stream: IO[bytes], progress: Count) -> int:
        """Write the nearest rows that a shard of the pool holds for each target."""
        sides = self.sides()
        search, hashed = self.search(sides), _Hashed(sides.pool)
        search.run(hashed, start=shard.start, stop=shard.stop, progress=progress)
        if hashed.digest() != shard.sha256:
            raise rows_changed(shard)
        found = pa.Table.from_pandas(search.found(), schema=FOUND_SCHEMA, preserve_index=False)
        pq.write_table(found, stream, write_page_checksum=True)
        return int(found.num_rows)

    # --- all shards --------------------------------------------------------------------------

    def selection(self, sides: Sides) -> Selection:
        """Decide about the candidates of verified shards as one search over the whole pool would."""
        search = self.search(sides)
        for shard in self.folder.shards:
            search.take_in(files.read_parquet(self.folder.result(shard)))
        return conclude(search, sides.pool, self.rule())
