"""Bring the components of an encoder to one scale, by statistics of the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft.errors import InputRefused
from deft.files import sha256_of_record

Matrix = NDArray[np.float32]
SMALLEST_DEVIATION = 1e-6


@dataclass(frozen=True)
class PoolStatistics:
    """Mean and standard deviation of each dimension of each component, over the pool (float64)."""

    means: tuple[NDArray[np.float64], ...]
    deviations: tuple[NDArray[np.float64], ...]

    @classmethod
    def over(cls, blocks: Sequence[Matrix]) -> PoolStatistics:
        """Measure the statistics of blocks (rows, width); no blocks are refused."""
        if not blocks:
            raise InputRefused("no row to take statistics of", value=0)
        return cls(
            tuple(block.mean(axis=0, dtype=np.float64) for block in blocks),
            tuple(block.std(axis=0, dtype=np.float64) for block in blocks),
        )

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
