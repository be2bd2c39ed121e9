"""Bring the components of an encoder to one scale, by statistics of the pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft.errors import InputRefused
from deft.files import sha256_of_record

Matrix = NDArray[np.float32]
SMALLEST_DEVIATION = 1e-6
PIECE_ROWS = 8192


@dataclass(frozen=True)
class PoolStatistics:
    """Mean and standard deviation of each dimension of each component, over the pool (float64)."""

    means: tuple[NDArray[np.float64], ...]
    deviations: tuple[NDArray[np.float64], ...]

    @classmethod
    def over(cls, pieces: Iterable[Sequence[Matrix]]) -> PoolStatistics:
        """Measure the statistics of blocks (rows, width) that come in pieces; no rows are refused.

        `pieces` is read twice. The result does not depend on how the rows are cut into pieces.
        """
        rows, sums = _summed(pieces, lambda blocks: blocks)
        if not rows:
            raise InputRefused("no row to take statistics of", value=0)
        means = tuple(total / rows for total in sums)
        _, squares = _summed(
            pieces, lambda blocks: [(b - mean) ** 2 for b, mean in zip(blocks, means, strict=True)]
        )
        return cls(means, tuple(np.sqrt(total / rows) for total in squares))

    def to_record(self) -> dict[str, list[list[float]]]:
        """Return the statistics as lists; JSON keeps every bit of a float64."""
        return {
            "means": [mean.tolist() for mean in self.means],
            "deviations": [deviation.tolist() for deviation in self.deviations],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> PoolStatistics:
        """Rebuild what `to_record` returned."""
        means, deviations = (
            tuple(np.array(part, dtype=np.float64) for part in record[name])
            for name in ("means", "deviations")
        )
        return cls(means, deviations)

    def empty_blocks(self) -> list[Matrix]:
        """Return blocks of no rows and the right widths."""
        return [np.empty((0, len(mean)), np.float32) for mean in self.means]

    def digest(self) -> str:
        """Return the sha256 that an encoder's fingerprint carries."""
        return sha256_of_record(self.to_record())


def _summed(
    pieces: Iterable[Sequence[Matrix]], of: Callable[[Sequence[Matrix]], Sequence[Any]]
) -> tuple[int, list[NDArray[np.float64]]]:
    """Return the number of rows and, in float64, the sum over them of what `of` makes of the blocks."""
    rows, sums = 0, []  # type: int, list[NDArray[np.float64]]
    for blocks in _even_pieces(pieces):
        rows += len(blocks[0])
        parts = [np.add.reduce(block, axis=0, dtype=np.float64) for block in of(blocks)]
        sums = [total + part for total, part in zip(sums, parts, strict=True)] if sums else parts
    return rows, sums


def _even_pieces(pieces: Iterable[Sequence[Matrix]]) -> Iterator[list[Matrix]]:
    """Cut the rows anew, always after the same number: sums in float64 depend on where they are cut."""
    waiting: list[list[Matrix]] = []
    for blocks in pieces:
        if len(blocks) and len(blocks[0]):
            waiting.append(list(blocks))
        while sum(len(piece[0]) for piece in waiting) >= PIECE_ROWS:
            whole = [np.concatenate(same) for same in zip(*waiting, strict=True)]
            yield [block[:PIECE_ROWS] for block in whole]
            waiting = [[block[PIECE_ROWS:] for block in whole]]
    if any(len(piece[0]) for piece in waiting):
        yield [np.concatenate(same) for same in zip(*waiting, strict=True)]


def combine(blocks: Sequence[Matrix], statistics: PoolStatistics, weights: Sequence[float]) -> Matrix:
    """Return the weighted concatenation of the z-scored, unit-length blocks: float32, (rows, sum of widths).

    With weights whose squares sum to 1 every row has length 1. A dimension that does not vary over the pool
    counts nothing.
    """
    parts = []
    for block, mean, deviation, weight in zip(
        blocks, statistics.means, statistics.deviations, weights, strict=True
    ):
        scores = (block - mean) / np.maximum(deviation, SMALLEST_DEVIATION) * (deviation > SMALLEST_DEVIATION)
        lengths = np.linalg.norm(scores, axis=1, keepdims=True)
        parts.append(weight * scores / np.where(lengths > 0, lengths, 1.0))
    return np.concatenate(parts, axis=1).astype(np.float32)
