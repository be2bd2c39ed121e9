"""Exact nearest neighbours in bounded memory, of a pool in memory or of one that goes by in blocks.

Each block is screened (deft.embedding.screening) and what may count is compared in float64, so the answer is
that of float64 throughout, whatever the blocks. Equal distances are ordered by the rows' keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deft.embedding.allocation import return_large_arrays
from deft.embedding.arithmetic import Matrix
from deft.embedding.running_best import Floats, Integers, Neighbours, RunningBest
from deft.embedding.screening import SCREENS, slices
from deft.errors import InputRefused, UsageError

TARGET_ROWS, POOL_ROWS = 1024, 4096


class NeighbourSearch:
    """The search for the k nearest rows of a pool that is offered block by block, in any order.

    `targets` (t, d) are taken as float32; `metric` is cosine (1 - cosine, and 1 for a vector of zeros),
    euclidean or manhattan. Raises InputRefused for vectors that hold a value that is not finite, UsageError
    for another metric and k below 1.
    """

    def __init__(self, targets: npt.ArrayLike, k: int, metric: str = "cosine") -> None:
        wanted = as_matrix(targets, "target")
        if metric not in SCREENS:
            raise UsageError(
                "metric is not known", value=metric, hint=f"choose one of {', '.join(sorted(SCREENS))}"
            )
        if k < 1:
            raise UsageError("k or n_neighbors must be a positive integer", value=k)
        return_large_arrays()
        self._width = wanted.shape[1]
        self._parts = list(slices(len(wanted), TARGET_ROWS))
        self._screens = [SCREENS[metric](wanted[part]) for part in self._parts]
        self.best = RunningBest(len(wanted), k)

    def offer(self, vectors: npt.ArrayLike, start: int, keys: Sequence[Any] | None = None) -> None:
        """Compare consecutive rows, the first of which is row `start` of the pool.

        `keys` order rows at equal distance, by row number where absent. Raises InputRefused for vectors of
        another length than the targets'.
        """
        block = as_matrix(vectors, "pool", start)
        self._compare(block, np.arange(start, start + len(block)), keys)

    def offer_rows(self, vectors: Matrix, rows: Integers, keys: Sequence[Any]) -> None:
        """Compare any rows of the pool, given their numbers in it."""
        self._compare(as_matrix(vectors, "pool"), rows, keys)

    def offer_pairs(
        self, vectors: npt.ArrayLike, start: int, targets: Integers, rows: Integers, keys: npt.NDArray[Any]
    ) -> None:
        """Compare some targets with some rows of a block, pair by pair; `keys` are of the whole block."""
        block = as_matrix(vectors, "pool", start)
        for part, screen in zip(self._parts, self._screens, strict=True):
            own = (targets >= part.start) & (targets < part.stop)
            distances = screen.distances(block, (targets[own] - part.start, rows[own]))
            self.best.merge(targets[own], rows[own] + start, distances, keys[rows[own]])

    def _compare(self, block: Matrix, numbers: Integers, keys: Sequence[Any] | None) -> None:
        if block.shape[1] != self._width:
            raise InputRefused(
                "target and pool vectors differ in length",
                value=f"{self._width} and {block.shape[1]}",
                hint="embed both with the same model",
            )
        for rows in slices(len(block), POOL_ROWS):
            for part, screen in zip(self._parts, self._screens, strict=True):
                found, columns = screen.candidates(block[rows], self.best.farthest[part], self.best.k)
                distances = screen.distances(block[rows], (found, columns))
                columns = columns + rows.start
                known = None if keys is None else _taken(keys, columns)
                self.best.merge(found + part.start, numbers[columns], distances, known)

    def neighbours(self) -> Neighbours:
        """Return the nearest of what was offered, near to far; a k above the pool's rows means them all."""
        return self.best.neighbours()


def nearest(
    targets: npt.ArrayLike,
    pool: npt.ArrayLike,
    k: int,
    metric: str = "cosine",
    *,
    tie_keys: Sequence[Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Floats, Integers]:
    """Return the k nearest pool rows of each target, near to far: distance and row, each (targets, k).

    `targets`, `pool` (n, d), `k`, `metric` and what is refused are those of NeighbourSearch; `tie_keys` (n)
    order rows at equal distance. `progress` is called with comparisons done and in all.
    """
    offered = np.asarray(pool)
    if offered.ndim != 2 or 0 in offered.shape:
        raise InputRefused("pool vectors do not form a table of rows and values", value=offered.shape)
    search = NeighbourSearch(targets, min(k, len(offered)), metric)
    wanted = len(search.best.farthest)
    for rows in slices(len(offered), POOL_ROWS):
        search.offer(offered[rows], rows.start, None if tie_keys is None else tie_keys[rows])
        if progress:
            progress(wanted * rows.stop, wanted * len(offered))
    found = search.neighbours()
    return found.distance, found.row


def as_matrix(vectors: npt.ArrayLike, side: str, start: int = 0) -> Matrix:
    """Return vectors as float32 (rows, width); no table and values that are not finite are refused."""
    matrix = np.ascontiguousarray(vectors, dtype=np.float32)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputRefused(f"{side} vectors do not form a table of rows and values", value=matrix.shape)
    ones = np.ones(matrix.shape[1], dtype=np.float32)
    for rows in slices(len(matrix), POOL_ROWS):
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(matrix[rows] @ ones).all():  # what is not finite stays so in a sum
                continue
        finite = np.isfinite(matrix[rows]).all(axis=1)
        if not finite.all():
            row = start + rows.start + int(np.argmin(finite)) + 1
            raise InputRefused(f"a {side} vector holds a value that is not finite", value=f"row {row}")
    return matrix


def _taken(keys: Sequence[Any], places: Integers) -> npt.NDArray[np.object_]:
    taken = np.empty(len(places), dtype=object)
    taken[:] = [keys[place] for place in places]
    return taken
