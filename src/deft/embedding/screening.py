"""Which rows of one block of a pool can still be among the nearest, and how far away a row is exactly.

A product of matrices is wrong by a known bound only. `candidates` keeps every pair that the bound cannot rule
out, in bfloat16 first where that is fast and then in float32, and `distances` decides between them in
float64: so whatever screens, the answer is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from deft.embedding.arithmetic import SINGLE_ROUNDING, Brain, Matrix, Single, brain_pays

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Pairs = tuple[Integers, Integers]

PAIR_VALUES = 2**21
PLAIN_RANGE = (1e-12, 1e12)
AFFORDED_SHARE = 1 / 256
"""Of the pairs of a block; comparing more of them one by one costs more than a product in float32."""


class Screen(Protocol):
    """Some targets on their way through a pool, under one metric."""

    def __init__(self, targets: Matrix) -> None: ...

    def candidates(self, block: Matrix, farthest: Floats, k: int) -> Pairs:
        """Return pairs of target and block row, among them all that can be of the k nearest.

        `farthest` is the distance of each target's k-th best so far, infinite where it has fewer.
        """

    def distances(self, block: Matrix, pairs: Pairs) -> Floats:
        """Return the exact distance of each pair, to float64."""


@dataclass(frozen=True)
class _Scoring:
    """A block and its targets as scores that fall as the distance grows: inner product less the row's offset.

    `span` bounds the lengths multiplied, `slack` what is wrong about a score apart from its product, and
    `reached` is the score of the k-th best so far, -infinite where there are fewer; each one a target.
    """

    targets: Matrix
    rows: Matrix
    offsets: Matrix
    span: Floats
    slack: Floats
    reached: Floats

    def roughly_possible(self, brain: Brain) -> Integers:
        """Return the places, in (targets, rows), whose score in bfloat16 can be one of the best."""
        return brain.places(self.rows, self.offsets, self._lowest(brain.error()))

    def possible(self, k: int) -> Integers:
        """Return the places, in (targets, rows), whose score in float32 can be one of the k best."""
        single = Single(self.targets)
        scores = single.products(self.rows)
        if self.offsets.any():
            scores -= self.offsets
        margin = self.slack + single.error() * self.span
        needed = self.reached - margin
        if np.isinf(self.reached).any():
            needed = np.maximum(needed, _kth_largest(scores, k) - 2 * margin)
        places: Integers = np.flatnonzero(scores >= _just_below(needed)[:, None])
        return places

    def confirmed(self, pairs: Pairs) -> Pairs:
        """Return the pairs whose score can still be among the best when it is computed in float32."""
        lowest = self._lowest(Single(self.rows).error())
        kept = np.zeros(len(pairs[0]), dtype=np.bool_)
        for part in slices(len(kept), max(1, PAIR_VALUES // self.rows.shape[1])):
            rows, columns = pairs[0][part], pairs[1][part]
            scores = np.einsum("ij,ij->i", self.targets[rows], self.rows[columns]) - self.offsets[columns]
            kept[part] = scores >= lowest[rows]
        return pairs[0][kept], pairs[1][kept]

    def _lowest(self, error: float) -> Matrix:
        return _just_below(self.reached - self.slack - error * self.span)


class _Screened:
    """A screen by scores: one product of matrices a block."""

    def __init__(self, targets: Matrix) -> None:
        self._targets = targets
        self._multiplications = 0
        self._converted: tuple[Matrix, Brain] | None = None

    def scoring(self, block: Matrix, farthest: Floats) -> _Scoring:
        """Return how the rows of a block are scored."""
        raise NotImplementedError

    def exact(self, one: Floats, other: Floats) -> Floats:
        """Return the float64 distance of pairs of rows."""
        raise NotImplementedError

    def candidates(self, block: Matrix, farthest: Floats, k: int) -> Pairs:
        scoring = self.scoring(block, farthest)
        if np.isfinite(farthest).all() and brain_pays(self._multiplications):
            places = scoring.roughly_possible(self._brain(scoring.targets))
            if len(places) <= AFFORDED_SHARE * len(farthest) * len(block):
                return scoring.confirmed(_pairs(places, len(block)))
        self._multiplications += len(farthest) * block.size
        return _pairs(scoring.possible(k), len(block))

    def _brain(self, targets: Matrix) -> Brain:
        """Return the targets in bfloat16, converted once where they are the same for every block."""
        if self._converted is None or self._converted[0] is not targets:
            self._converted = targets, Brain(targets)
        return self._converted[1]

    def distances(self, block: Matrix, pairs: Pairs) -> Floats:
        rows, columns = pairs
        distances = np.empty(len(rows))
        for part in slices(len(rows), max(1, PAIR_VALUES // block.shape[1])):
            one = self._targets[rows[part]].astype(np.float64)
            distances[part] = self.exact(one, block[columns[part]].astype(np.float64))
        return distances


class Cosine(_Screened):
    """1 - cosine; the score is the cosine, and a vector of zeros has cosine 0 with everything."""

    def __init__(self, targets: Matrix) -> None:
        super().__init__(targets)
        self._units = _units(targets)
        self._slack = 1.01 * SINGLE_ROUNDING * (targets.shape[1] + 32)

    def scoring(self, block: Matrix, farthest: Floats) -> _Scoring:
        span, slack = np.ones(len(farthest)), np.full(len(farthest), self._slack)
        offsets = np.zeros(len(block), dtype=np.float32)
        return _Scoring(self._units, _units(block), offsets, span, slack, 1.0 - farthest)

    def exact(self, one: Floats, other: Floats) -> Floats:
        products = np.sqrt(_dots(one, one) * _dots(other, other))
        cosines = np.divide(_dots(one, other), products, out=np.zeros(len(one)), where=products > 0)
        distances: Floats = np.clip(1.0 - cosines, 0.0, 2.0)
        return distances


class Euclidean(_Screened):
    """The score u·v - |v|²/2 is half of |u|² - |u - v|²; a common shift keeps it, and its error, small."""

    def __init__(self, targets: Matrix) -> None:
        super().__init__(targets)
        self._largest = largest(targets)
        self._rounding = 1.01 * SINGLE_ROUNDING * (targets.shape[1] + 16)

    def scoring(self, block: Matrix, farthest: Floats) -> _Scoring:
        exponent = exponent_of(max(self._largest, largest(block)))
        targets, rows = np.ldexp(self._targets, -exponent), np.ldexp(block, -exponent)
        shift = targets.mean(axis=0, dtype=np.float64).astype(np.float32)
        targets, rows = targets - shift, rows - shift
        own, squared = squares(targets), squares(rows)
        lengths, longest = np.sqrt(own), np.sqrt(squared.max())
        slack = self._rounding * (lengths + longest) ** 2
        reached = (own - np.ldexp(farthest, -exponent) ** 2) / 2
        return _Scoring(targets, rows, (squared / 2).astype(np.float32), lengths * longest, slack, reached)

    def exact(self, one: Floats, other: Floats) -> Floats:
        difference = one - other
        distances: Floats = np.sqrt(_dots(difference, difference))
        return distances


class Manhattan:
    """No product of matrices gives sums of absolute differences, so all pairs are exact from the start."""

    def __init__(self, targets: Matrix) -> None:
        self._targets = targets.astype(np.float64)

    def candidates(self, block: Matrix, farthest: Floats, k: int) -> Pairs:
        found = []
        for part in slices(len(block), max(1, PAIR_VALUES // block.shape[1])):
            values = block[part].astype(np.float64)
            distances = np.stack([np.abs(values - target).sum(axis=1) for target in self._targets])
            rows, columns = np.nonzero(distances <= farthest[:, None])
            found.append((rows, columns + part.start))
        rows, columns = (np.concatenate(side) for side in zip(*found, strict=True))
        return rows, columns

    def distances(self, block: Matrix, pairs: Pairs) -> Floats:
        rows, columns = pairs
        distances = np.empty(len(rows))
        for part in slices(len(rows), max(1, PAIR_VALUES // block.shape[1])):
            values = block[columns[part]].astype(np.float64)
            distances[part] = np.abs(values - self._targets[rows[part]]).sum(axis=1)
        return distances


SCREENS: dict[str, type[Screen]] = {"cosine": Cosine, "euclidean": Euclidean, "manhattan": Manhattan}


def slices(rows: int, size: int) -> Iterator[slice]:
    """Yield the slices of at most `size` that make up so many rows."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def largest(matrix: Matrix) -> float:
    """Return the largest absolute value."""
    return float(max(matrix.max(), -matrix.min()))


def exponent_of(value: float) -> int:
    """Return the power of two to divide by where squares could leave the range of float32, else 0."""
    plain = value == 0 or PLAIN_RANGE[0] < value < PLAIN_RANGE[1]
    return 0 if plain else int(np.frexp(value)[1])


def squares(matrix: Matrix) -> Floats:
    """Return the squared length of each row."""
    found: Floats = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)
    return found


def _units(matrix: Matrix) -> Matrix:
    """Return the rows at length 1, or 0 for zeros; each is scaled by itself where squares leave the range."""
    with np.errstate(over="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
    if PLAIN_RANGE[0] < lengths.min() and lengths.max() < PLAIN_RANGE[1]:
        units: Matrix = matrix / lengths[:, None]
    else:
        scaled = np.ldexp(matrix, -np.frexp(np.abs(matrix).max(axis=1))[1][:, None])
        precise = np.sqrt(squares(scaled))
        units = (scaled / np.where(precise > 0, precise, 1.0)[:, None]).astype(np.float32)
    return units


def _dots(one: Floats, other: Floats) -> Floats:
    dots: Floats = np.einsum("ij,ij->i", one, other)
    return dots


def _pairs(places: Integers, width: int) -> Pairs:
    rows, columns = np.divmod(places, width)
    return rows, columns


def _just_below(values: Floats) -> Matrix:
    below: Matrix = np.nextafter(values.astype(np.float32), np.float32(-np.inf))
    return below


def _kth_largest(scores: Matrix, k: int) -> Floats:
    if scores.shape[1] < k:
        return np.full(len(scores), -np.inf)
    return np.partition(scores, -k, axis=1)[:, -k].astype(np.float64)
