from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from deft.embedding.merging import rejected_rows, write_merged
from deft.embedding.samples import Embedded
from deft.embedding.sets import EmbeddingSet, PoolReference

ROWS = 20_000
DRAWN = np.random.default_rng(0).normal(3, 2, size=(ROWS, 6)).astype(np.float32)
REJECTED = {5: "torn", 11_000: "gone"}
TABLE = pa.table({"filepath": [str(row) for row in range(ROWS)]})


@dataclass(frozen=True)
class Cut:
    """The drawn rows in pieces."""

    size: int

    def __iter__(self) -> Iterator[tuple[int, Embedded]]:
        for start in range(0, ROWS, self.size):
            rows = range(start, min(start + self.size, ROWS))
            kept = [row for row in rows if row not in REJECTED]
            blocks = [DRAWN[kept, :4], DRAWN[kept, 4:]]
            bad = {row - start: REJECTED[row] for row in rows if row in REJECTED}
            yield start, Embedded(blocks, [row - start for row in kept], bad)


@dataclass(frozen=True)
class Recipe:
    fingerprint: dict[str, object]
    weights: tuple[float, ...]
    calibration: tuple[str, ...] = ("a.png",)


@pytest.mark.parametrize("weights", [(), (0.8, 0.6)])
def test_the_table_does_not_depend_on_the_pieces(tmp_path: Path, weights: tuple[float, ...]) -> None:
    found = set()
    for size in (1_000, 777, ROWS):
        write_merged(tmp_path / "e.parquet", TABLE, Cut(size), Recipe({"model": "m"}, weights))
        found.add((tmp_path / "e.parquet").read_bytes())
    assert len(found) == 1
    made = EmbeddingSet.read(tmp_path / "e.parquet")
    assert made.filepaths == [str(row) for row in range(ROWS) if row not in REJECTED]
    assert made.fingerprint is not None
    assert made.fingerprint["width"] == 6
    if weights:
        np.testing.assert_allclose(np.linalg.norm(made.matrix, axis=1), 1, atol=1e-5)
        assert PoolReference.read(tmp_path / "e.parquet").calibration == ("a.png",)
    else:
        np.testing.assert_array_equal(made.matrix, np.delete(DRAWN, list(REJECTED), axis=0))


def test_targets_take_the_statistics_of_their_pool(tmp_path: Path) -> None:
    recipe = Recipe({"model": "m"}, (0.8, 0.6))
    write_merged(tmp_path / "pool.parquet", TABLE, Cut(1_000), recipe)
    reference = PoolReference.read(tmp_path / "pool.parquet")
    write_merged(tmp_path / "few.parquet", TABLE, [next(iter(Cut(10)))], recipe, reference)
    pool, few = (EmbeddingSet.read(tmp_path / f"{name}.parquet") for name in ("pool", "few"))
    np.testing.assert_array_equal(few.matrix, pool.matrix[:9])
    assert few.fingerprint == pool.fingerprint


def test_rejected_rows_are_numbered_over_the_whole() -> None:
    assert rejected_rows(Cut(1_000)) == REJECTED
