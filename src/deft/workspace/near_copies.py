"""Lossy copies of a picture: candidates by a 64-bit difference hash, confirmed by the error of their pixels.

Candidates share one of the four 16-bit bands of the hash and have nearly one mean, so a hundred thousand
pictures need a sort and not ten thousand million comparisons; where very many are alike, a bound on the work
holds and what it left out is counted. Between labels a small defect may be all that differs: there every cell
of the thumbnails has to agree. Thresholds: a JPEG at quality 50 of a 64 x 64 crop, and a copy resized
to three quarters and back, stay below them; of a million pairs of other crops eight did not stay above.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deft.workspace.pixels import Picture

BANDS = (0, 16, 32, 48)
MOST_DIFFERING_BITS = 6
MOST_ERROR = 12.0
MOST_ERROR_OF_CONTRAST = 0.12
LEAST_CONTRAST = 6.0
MOST_ERROR_OF_A_CELL = 8  # between labels
MOST_PAIRS_OF_A_BAND = 50_000_000
MOST_CONFIRMED = 1_000_000
PAIRS_AT_ONCE = 1_000_000
CONFIRMED_AT_ONCE = 1_024
BAND_STEP = 1_024.0  # wider than any mean with its error, so a window never reaches into the next band

_BITS_OF_A_BYTE = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)

Indices = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Columns:
    """Pictures as columns: hash, label, grey thumbnail, its mean and its contrast (standard deviation)."""

    hashes: npt.NDArray[np.uint64]
    labels: Indices
    thumbnails: npt.NDArray[np.uint8]
    means: Floats
    contrasts: Floats

    @classmethod
    def of(cls, pictures: Sequence[Picture], labels: Indices) -> _Columns:
        thumbnails = np.stack([picture.thumbnail for picture in pictures])
        blocks = [
            thumbnails[at : at + CONFIRMED_AT_ONCE] for at in range(0, len(pictures), CONFIRMED_AT_ONCE)
        ]
        return cls(
            np.array([picture.difference_hash for picture in pictures], dtype=np.uint64),
            labels,
            thumbnails,
            np.concatenate([block.mean(axis=(1, 2)) for block in blocks]),
            np.concatenate([block.std(axis=(1, 2)) for block in blocks]),  # takes eight times the block
        )


@dataclass(frozen=True, order=True)
class Copy:
    """A likely copy: its places in both lists, its error, and whether both have one label.

    The error is the root mean square over a 32 x 32 grey thumbnail, in levels of 255.
    """

    first: int
    second: int
    error: float
    one_label: bool


def near_copies(
    first: Sequence[Picture],
    second: Sequence[Picture],
    first_labels: Sequence[str],
    second_labels: Sequence[str],
) -> tuple[list[Copy], int]:
    """Return likely copies, and at most how many pairs went unchecked; what has no contrast has no copy."""
    if not first or not second:
        return [], 0
    labels = np.unique([*first_labels, *second_labels], return_inverse=True)[1]
    one, two = _Columns.of(first, labels[: len(first)]), _Columns.of(second, labels[len(first) :])
    copies: list[Copy] = []
    confirmed = unchecked = 0
    for number, shift in enumerate(BANDS):
        windows = _windows(one, two, shift)
        unchecked += windows.left_out
        for left, right in windows.blocks():
            left, right = _possible(one, two, left, right, BANDS[:number])
            kept = slice(0, max(0, MOST_CONFIRMED - confirmed))
            copies.extend(_confirmed(one, two, left[kept], right[kept]))
            confirmed += len(left[kept])
            unchecked += len(left) - len(left[kept])
    return sorted(copies), unchecked


@dataclass(frozen=True)
class _Windows:
    """For each first picture the run of second pictures, in `order`, that share a band and nearly a mean."""

    order: Indices
    begins: Indices
    counts: Indices
    left_out: int

    def blocks(self) -> Iterator[tuple[Indices, Indices]]:
        """Yield all index pairs in blocks of about PAIRS_AT_ONCE."""
        numbers = np.cumsum(self.counts) // PAIRS_AT_ONCE
        for number in np.unique(numbers):
            rows = np.flatnonzero((numbers == number) & (self.counts > 0))
            counts = self.counts[rows]
            offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            yield np.repeat(rows, counts), self.order[np.repeat(self.begins[rows], counts) + offsets]


def _windows(one: _Columns, two: _Columns, shift: int) -> _Windows:
    places = _band(two.hashes, shift) * BAND_STEP + two.means
    order = np.argsort(places, kind="stable")
    centres = _band(one.hashes, shift) * BAND_STEP + one.means
    reach = _allowed_error(one.contrasts, one.contrasts)
    begins = np.searchsorted(places[order], centres - reach, side="left")
    ends = np.searchsorted(places[order], centres + reach, side="right")
    counts = np.maximum(ends - begins, 0)
    afforded = _fewest_first(counts)
    return _Windows(order, begins, afforded, int(counts.sum() - afforded.sum()))


def _fewest_first(counts: Indices) -> Indices:
    """Keep the shortest windows up to the bound on pairs: what few pictures share tells most."""
    order = np.argsort(counts, kind="stable")
    kept = order[np.cumsum(counts[order]) <= MOST_PAIRS_OF_A_BAND]
    afforded = np.zeros_like(counts)
    afforded[kept] = counts[kept]
    return afforded


def _possible(
    one: _Columns, two: _Columns, left: Indices, right: Indices, earlier: Sequence[int]
) -> tuple[Indices, Indices]:
    """Keep pairs with few differing bits that no earlier band had; the most alike come first.

    The differences of means and of contrasts bound the error from below.
    """
    differing = one.hashes[left] ^ two.hashes[right]
    possible = np.ones(len(left), dtype=np.bool_)
    for shift in earlier:
        possible &= _band(differing, shift) != 0
    allowed = _allowed_error(one.contrasts[left], two.contrasts[right])
    possible &= np.abs(one.means[left] - two.means[right]) <= allowed
    possible &= np.abs(one.contrasts[left] - two.contrasts[right]) <= allowed
    left, right, differing = left[possible], right[possible], differing[possible]
    bits = _BITS_OF_A_BYTE[differing.view(np.uint8).reshape(len(differing), 8)].sum(axis=1)
    near = np.argsort(bits, kind="stable")[: int((bits <= MOST_DIFFERING_BITS).sum())]
    return left[near], right[near]


def _allowed_error(left: Floats, right: Floats) -> Floats:
    contrast = np.minimum(left, right)
    allowed = np.minimum(MOST_ERROR, MOST_ERROR_OF_CONTRAST * contrast)
    return np.where(contrast >= LEAST_CONTRAST, allowed, -1.0)


def _band(hashes: npt.NDArray[np.uint64], shift: int) -> npt.NDArray[np.uint16]:
    return (hashes >> np.uint64(shift)).astype(np.uint16)


def _confirmed(one: _Columns, two: _Columns, left: Indices, right: Indices) -> Iterator[Copy]:
    """Yield the pairs whose thumbnails differ by no more than a lossy encoder makes them."""
    allowed = _allowed_error(one.contrasts[left], two.contrasts[right])
    for begin in range(0, len(left), CONFIRMED_AT_ONCE):
        block = slice(begin, begin + CONFIRMED_AT_ONCE)
        difference = one.thumbnails[left[block]].astype(np.float32) - two.thumbnails[right[block]]
        errors = np.sqrt(np.mean(difference**2, axis=(1, 2), dtype=np.float64))
        one_label = one.labels[left[block]] == two.labels[right[block]]
        is_copy = one_label | (np.abs(difference).max(axis=(1, 2)) <= MOST_ERROR_OF_A_CELL)
        for place in np.flatnonzero(is_copy & (errors <= allowed[block])):
            pair = int(left[begin + place]), int(right[begin + place])
            yield Copy(*pair, float(errors[place]), bool(one_label[place]))
