"""Exact nearest neighbours in bounded memory: screen in float32, decide in float64.

A block of the pool is compared with a block of targets by one float32 matrix product. Rounding can move a
product by a known bound only, so every row that may still be among the k nearest is compared again in
float64; the answer is that of float64 throughout. Equal distances are ordered by `tie_keys`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from deft.errors import InputRefused, UsageError

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

TARGET_ROWS, POOL_ROWS = 1024, 8192
PAIR_VALUES = 2**21
ROUNDING = 2.0**-24
PLAIN_RANGE = (1e-12, 1e12)


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

    `targets` (t, d) and `pool` (n, d) are taken as float32. A k above n means n. `metric` is cosine
    (1 - cosine, and 1 for a vector of zeros), euclidean or manhattan. `tie_keys` (n) orders rows at equal
    distance, by row number where absent. `progress` is called with comparisons done and in all. Raises
    InputRefused for vectors that differ in length or hold a value that is not finite, UsageError for another
    metric and k below 1.
    """
    wanted, offered, scale = _plain_range(_matrix(targets, "target"), _matrix(pool, "pool"))
    _check(wanted, offered, k, metric)
    k = min(k, len(offered))
    ties = _ranks(tie_keys, len(offered))
    distance = np.empty((len(wanted), k))
    index = np.empty((len(wanted), k), dtype=np.int64)
    done, total = 0, len(wanted) * len(offered)
    for rows in _blocks(len(wanted), TARGET_ROWS):
        best = _Best(rows.stop - rows.start, k, ties)
        search = SEARCHES[metric](wanted[rows], offered)
        for columns in _blocks(len(offered), POOL_ROWS):
            search.offer(columns, best)
            done += (rows.stop - rows.start) * (columns.stop - columns.start)
            if progress:
                progress(done, total)
        distance[rows], index[rows] = best.distance, best.index
    return distance * scale if metric != "cosine" else distance, index


# --- what is accepted ------------------------------------------------------------------------


def _matrix(vectors: npt.ArrayLike, side: str) -> Matrix:
    matrix = np.ascontiguousarray(vectors, dtype=np.float32)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputRefused(f"{side} vectors do not form a table of rows and values", value=matrix.shape)
    for rows in _blocks(len(matrix), POOL_ROWS):
        finite = np.isfinite(matrix[rows]).all(axis=1)
        if not finite.all():
            row = rows.start + int(np.argmin(finite)) + 1
            raise InputRefused(f"a {side} vector holds a value that is not finite", value=f"row {row}")
    return matrix


def _check(targets: Matrix, pool: Matrix, k: int, metric: str) -> None:
    if metric not in SEARCHES:
        raise UsageError(
            "metric is not known", value=metric, hint=f"choose one of {', '.join(sorted(SEARCHES))}"
        )
    if k < 1:
        raise UsageError("k or n_neighbors must be a positive integer", value=k)
    if targets.shape[1] != pool.shape[1]:
        raise InputRefused(
            "target and pool vectors differ in length",
            value=f"{targets.shape[1]} and {pool.shape[1]}",
            hint="embed both with the same model",
        )


def _plain_range(targets: Matrix, pool: Matrix) -> tuple[Matrix, Matrix, float]:
    """Scale by a power of two where squares could leave the range of float32; return the factor back."""
    largest = max(float(np.abs(targets).max()), float(max(pool.max(), -pool.min())))
    if largest == 0 or PLAIN_RANGE[0] < largest < PLAIN_RANGE[1]:
        return targets, pool, 1.0
    exponent = int(np.frexp(largest)[1])
    return np.ldexp(targets, -exponent), np.ldexp(pool, -exponent), float(2.0**exponent)


def _ranks(keys: Sequence[Any] | None, rows: int) -> Integers:
    if keys is None:
        return np.arange(rows)
    ranks = np.empty(rows, dtype=np.int64)
    ranks[sorted(range(rows), key=keys.__getitem__)] = np.arange(rows)
    return ranks


def _blocks(rows: int, size: int) -> Iterator[slice]:
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


# --- the k best so far -----------------------------------------------------------------------


class _Best:
    """The k nearest rows of each target so far; places that are not filled yet lie at infinity."""

    def __init__(self, targets: int, k: int, ties: Integers) -> None:
        self.distance = np.full((targets, k), np.inf)
        self.index = np.full((targets, k), -1, dtype=np.int64)
        self._ties = ties

    @property
    def farthest(self) -> Floats:
        """Return, for each target, the distance beyond which a row is of no interest."""
        farthest: Floats = self.distance[:, -1]
        return farthest

    def merge(self, rows: Integers, columns: Integers, distances: Floats) -> None:
        """Take in pairs of target row and pool row with their exact distances."""
        held_rows, held_places = np.nonzero(self.index >= 0)
        rows = np.append(held_rows, rows)
        columns = np.append(self.index[held_rows, held_places], columns)
        distances = np.append(self.distance[held_rows, held_places], distances)
        order = np.lexsort((self._ties[columns], distances, rows))
        rows, columns, distances = rows[order], columns[order], distances[order]
        places = np.arange(len(rows)) - np.searchsorted(rows, rows)
        kept = places < self.index.shape[1]
        self.index[rows[kept], places[kept]] = columns[kept]
        self.distance[rows[kept], places[kept]] = distances[kept]


# --- searches --------------------------------------------------------------------------------


class Search(Protocol):
    """One block of targets on its way through the pool."""

    def __init__(self, targets: Matrix, pool: Matrix) -> None: ...

    def offer(self, columns: slice, best: _Best) -> None:
        """Put the pool rows of one block that can be among the nearest into `best`."""


class _Screened:
    """A search whose float32 product `scores` falls as the distance grows, to within `margin`."""

    def __init__(self, targets: Matrix, pool: Matrix) -> None:
        self._targets, self._pool = targets, pool
        self._rounding = 1.01 * ROUNDING * (pool.shape[1] + 16)

    def scores(self, block: Matrix) -> tuple[Matrix, Floats]:
        """Return the scores (targets, block) and by how much one may be wrong, for each target."""
        raise NotImplementedError

    def score_at(self, distance: Floats) -> Floats:
        """Return the score that an exact distance has, for each target."""
        raise NotImplementedError

    def exact(self, one: Floats, other: Floats) -> Floats:
        """Return the float64 distance of pairs of rows."""
        raise NotImplementedError

    def offer(self, columns: slice, best: _Best) -> None:
        scores, margin = self.scores(self._pool[columns])
        needed = self.score_at(best.farthest) - margin
        if np.isinf(best.farthest).any():
            needed = np.maximum(needed, _kth_largest(scores, best.distance.shape[1]) - 2 * margin)
        lowest = np.nextafter(needed.astype(np.float32), np.float32(-np.inf))
        rows, found = np.divmod(np.flatnonzero(scores >= lowest[:, None]), scores.shape[1])
        found += columns.start
        best.merge(rows, found, self._distances(rows, found))

    def _distances(self, rows: Integers, columns: Integers) -> Floats:
        distances = np.empty(len(rows))
        for part in _blocks(len(rows), max(1, PAIR_VALUES // self._pool.shape[1])):
            one = self._targets[rows[part]].astype(np.float64)
            distances[part] = self.exact(one, self._pool[columns[part]].astype(np.float64))
        return distances


def _kth_largest(scores: Matrix, k: int) -> Floats:
    if scores.shape[1] < k:
        return np.full(len(scores), -np.inf)
    return np.partition(scores, -k, axis=1)[:, -k].astype(np.float64)


class _Cosine(_Screened):
    def __init__(self, targets: Matrix, pool: Matrix) -> None:
        super().__init__(targets, pool)
        self._units = _divided(targets, np.sqrt(_squares(targets)))

    def scores(self, block: Matrix) -> tuple[Matrix, Floats]:
        lengths = np.sqrt(_squares(block))
        inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        scores = self._units @ block.T
        scores *= inverse.astype(np.float32)
        return scores, np.full(len(scores), self._rounding)

    def score_at(self, distance: Floats) -> Floats:
        return 1.0 - distance

    def exact(self, one: Floats, other: Floats) -> Floats:
        products = np.sqrt((one * one).sum(axis=1) * (other * other).sum(axis=1))
        cosines = np.divide((one * other).sum(axis=1), products, out=np.zeros(len(one)), where=products > 0)
        distances: Floats = np.clip(1.0 - cosines, 0.0, 2.0)
        return distances


class _Euclidean(_Screened):
    """The score u·v - |v|²/2 is half of |u|² - |u - v|²; a common shift keeps it, and its error, small."""

    def __init__(self, targets: Matrix, pool: Matrix) -> None:
        super().__init__(targets, pool)
        step = max(1, len(pool) // 4096)
        self._shift = pool[::step].mean(axis=0, dtype=np.float64).astype(np.float32)
        self._shifted = targets - self._shift
        self._own = _squares(self._shifted)

    def scores(self, block: Matrix) -> tuple[Matrix, Floats]:
        shifted = block - self._shift
        squares = _squares(shifted)
        scores = self._shifted @ shifted.T
        scores -= (squares / 2).astype(np.float32)
        return scores, self._rounding * (np.sqrt(self._own) + np.sqrt(squares.max())) ** 2

    def score_at(self, distance: Floats) -> Floats:
        return (self._own - distance * distance) / 2

    def exact(self, one: Floats, other: Floats) -> Floats:
        difference = one - other
        distances: Floats = np.sqrt((difference * difference).sum(axis=1))
        return distances


class _Manhattan:
    """No product of matrices gives sums of absolute differences, so all pairs are exact from the start."""

    def __init__(self, targets: Matrix, pool: Matrix) -> None:
        self._targets, self._pool = targets.astype(np.float64), pool

    def offer(self, columns: slice, best: _Best) -> None:
        for part in _blocks(columns.stop - columns.start, max(1, PAIR_VALUES // self._pool.shape[1])):
            start = columns.start + part.start
            block = self._pool[start : columns.start + part.stop].astype(np.float64)
            distances = np.stack([np.abs(block - target).sum(axis=1) for target in self._targets])
            rows, found = np.nonzero(distances <= best.farthest[:, None])
            best.merge(rows, found + start, distances[rows, found])


def _squares(matrix: Matrix) -> Floats:
    squares: Floats = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)
    return squares


def _divided(matrix: Matrix, lengths: Floats) -> Matrix:
    safe = np.where(lengths > 0, lengths, 1.0)
    return (matrix / safe[:, None]).astype(np.float32)


SEARCHES: dict[str, type[Search]] = {
    "cosine": _Cosine,
    "euclidean": _Euclidean,
    "manhattan": _Manhattan,
}
