"""Make one embedding table of parts that were embedded one by one, without holding their vectors at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from deft.embedding.samples import Embedded, Matrix
from deft.embedding.sets import WIDTH, PoolReference, embedding_writer
from deft.embedding.standardisation import PoolStatistics, combine

STATISTICS = "statistics"
Pieces = Iterable[tuple[int, Embedded]]
"""Parts with the number of their first row, in order; can be read more than once."""


class Recipe(Protocol):
    """What a table has to say about its encoder, and how the encoder's components are combined."""

    @property
    def fingerprint(self) -> dict[str, object]: ...

    @property
    def weights(self) -> tuple[float, ...]: ...

    @property
    def calibration(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class _Blocks:
    """The blocks of the parts that have accepted rows."""

    pieces: Pieces

    def __iter__(self) -> Iterator[list[Matrix]]:
        return (part.blocks for _, part in self.pieces if part.accepted)


def rejected_rows(pieces: Pieces) -> dict[int, str]:
    """Return why rows have no vector, by their number in the whole."""
    return {start + row: reason for start, part in pieces for row, reason in part.rejected.items()}


def write_merged(
    output: Path,
    table: Any,
    pieces: Pieces,
    recipe: Recipe,
    reference: PoolReference | None = None,
    *,
    storage: str = "double",
) -> None:
    """Write the accepted rows of an Arrow table with their vectors.

    An encoder that weighs its components takes their statistics from these rows, and its table lends them
    to targets; with a `reference` the rows are such targets.
    """
    fingerprint, blocks = dict(recipe.fingerprint), _Blocks(pieces)
    statistics = lent = None
    if recipe.weights:
        statistics = reference.statistics if reference else PoolStatistics.over(blocks)
        fingerprint[STATISTICS] = statistics.digest()
    fingerprint[WIDTH] = _width(blocks, statistics)
    if statistics is not None and reference is None:
        lent = PoolReference(fingerprint, statistics, recipe.calibration)
    with embedding_writer(output, fingerprint, lent, storage=storage) as writer:
        writer.write(table.slice(0, 0), np.empty((0, 0), np.float32))
        for start, part in pieces:
            if part.accepted:
                rows = table.take(start + np.array(part.accepted, dtype=np.int64))
                writer.write(rows, _joined(part.blocks, statistics, recipe))


def _width(blocks: _Blocks, statistics: PoolStatistics | None) -> int:
    first = next(iter(blocks), statistics.empty_blocks() if statistics else [])
    return sum(block.shape[1] for block in first)


def _joined(blocks: list[Matrix], statistics: PoolStatistics | None, recipe: Recipe) -> Matrix:
    if statistics is None:
        return np.concatenate(blocks, axis=1)
    return combine(blocks, statistics, recipe.weights)
