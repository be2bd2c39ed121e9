"""The k nearest rows of each target while a pool goes by in blocks, with ties in one order.

What is kept does not depend on the order or the size of the blocks: distance decides, then the row's key
(its path), then its number in the pool.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Keys = npt.NDArray[np.object_]
MERGED_AT_ONCE = 2**18


@dataclass(frozen=True)
class Neighbours:
    """Near to far, each (targets, k): distance, row of the pool, and the row's key where keys were given.

    Where a target has fewer rows than another, its last places hold row -1 at infinity.
    """

    distance: Floats
    row: Integers
    key: Keys


class RunningBest:
    """The k nearest rows of each target so far; places that are not filled yet lie at infinity."""

    def __init__(self, targets: int, k: int) -> None:
        self._distance = np.full((targets, k), np.inf)
        self._row = np.full((targets, k), -1, dtype=np.int64)
        self._key = np.full((targets, k), "", dtype=object)

    @property
    def k(self) -> int:
        """Return how many rows are kept a target."""
        return self._row.shape[1]

    @property
    def farthest(self) -> Floats:
        """Return, for each target, the distance beyond which a row is of no interest."""
        farthest: Floats = self._distance[:, -1]
        return farthest

    @property
    def filled(self) -> Integers:
        """Return, for each target, how many rows it has."""
        filled: Integers = (self._row >= 0).sum(axis=1)
        return filled

    def replace(self, targets: Integers, found: RunningBest) -> None:
        """Put what another search found for some targets, in their order, in the place of what they have."""
        self._distance[targets], self._row[targets] = found._distance, found._row
        self._key[targets] = found._key

    def neighbours(self) -> Neighbours:
        """Return what was found, in as many places as the target that found most needs."""
        filled = int(self.filled.max(initial=0))
        return Neighbours(self._distance[:, :filled], self._row[:, :filled], self._key[:, :filled])

    def merge(self, targets: Integers, rows: Integers, distances: Floats, keys: Keys | None = None) -> None:
        """Take in pairs of target and pool row with their exact distances, each pair once."""
        for start in range(0, len(rows), MERGED_AT_ONCE):
            part = slice(start, start + MERGED_AT_ONCE)
            given = np.full(len(rows[part]), "", dtype=object) if keys is None else keys[part]
            self._merge(targets[part], rows[part], distances[part], given)

    def _merge(self, targets: Integers, rows: Integers, distances: Floats, keys: Keys) -> None:
        touched = np.unique(targets)
        held, places = np.nonzero(self._row[touched] >= 0)
        held = touched[held]
        targets = np.append(held, targets)
        rows = np.append(self._row[held, places], rows)
        distances = np.append(self._distance[held, places], distances)
        keys = np.append(self._key[held, places], keys)
        order = _order(targets, distances, keys, rows)
        targets = targets[order]
        places = np.arange(len(targets)) - np.searchsorted(targets, targets)
        kept = places < self.k
        to, order = (targets[kept], places[kept]), order[kept]
        self._distance[to], self._row[to], self._key[to] = distances[order], rows[order], keys[order]


def _order(targets: Integers, distances: Floats, keys: Keys, rows: Integers) -> Integers:
    """Sort by target, distance, key and row; keys are compared only where distances are equal."""
    order = np.lexsort((rows, distances, targets))
    same = (np.diff(targets[order]) == 0) & (distances[order][1:] == distances[order][:-1])
    if not same.any():
        return order
    tied = np.unique(np.append(order[1:][same], order[:-1][same]))
    ranks = np.zeros(len(order), dtype=np.int64)
    ranks[tied] = np.unique(keys[tied], return_inverse=True)[1]
    return np.lexsort((rows, ranks, distances, targets))
