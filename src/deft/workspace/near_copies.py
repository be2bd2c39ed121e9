"""Lossy copies of a picture: candidates by a 64-bit difference hash, confirmed by the error of their pixels.

Candidates share one of the four 16-bit bands of the hash, so a hundred thousand pictures need a sort and not
ten thousand million comparisons. Thresholds: a JPEG at quality 50 of a 64 x 64 crop, and a copy resized to
three quarters and back, stay below them; of a million pairs of other crops eight did not stay above.
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
MOST_CANDIDATES = 500_000
PAIRS_AT_ONCE = 2_000_000
CONFIRMED_AT_ONCE = 4_096

_BITS_OF_A_BYTE = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)

Indices = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Columns:
    """Pictures as columns: hash, label, grey thumbnail, its mean and its contrast (standard deviation)."""

    hashes: npt.NDArray[np.uint64]
    labels: npt.NDArray[np.str_]
    thumbnails: npt.NDArray[np.uint8]
    means: Floats
    contrasts: Floats

    @classmethod
    def of(cls, pictures: Sequence[Picture], labels: Sequence[str]) -> _Columns:
        thumbnails = np.stack([picture.thumbnail for picture in pictures])
        return cls(
            np.array([picture.difference_hash for picture in pictures], dtype=np.uint64),
            np.array(labels),
            thumbnails,
            thumbnails.mean(axis=(1, 2)),
            thumbnails.std(axis=(1, 2)),
        )


def near_copies(
    first: Sequence[Picture],
    second: Sequence[Picture],
    first_labels: Sequence[str],
    second_labels: Sequence[str],
) -> tuple[list[tuple[int, int, float]], int]:
    """Return (index in first, index in second, error) of likely copies, and how many went unchecked.

    The error is the root mean square over a 32 x 32 grey thumbnail, in levels of 255. Pictures of different
    labels are never matched (a small defect is all that tells them apart), nor pictures without contrast.
    """
    if not first or not second:
        return [], 0
    one, two = _Columns.of(first, first_labels), _Columns.of(second, second_labels)
    left, right = _candidates(one, two)
    kept = slice(0, MOST_CANDIDATES)
    return list(_confirmed(one, two, left[kept], right[kept])), max(0, len(left) - MOST_CANDIDATES)


def _candidates(one: _Columns, two: _Columns) -> tuple[Indices, Indices]:
    """Return the index pairs that may be copies, each once, the most alike hashes first."""
    blocks = [
        left * len(two.hashes) + right
        for shift in BANDS
        for left, right in _sharing_band(one.hashes, two.hashes, shift)
        for left, right in [_possible(one, two, left, right)]
    ]
    left, right = np.divmod(np.unique(np.concatenate(blocks)), len(two.hashes))
    order = np.argsort(_differing_bits(one.hashes[left], two.hashes[right]), kind="stable")
    return left[order], right[order]


def _possible(one: _Columns, two: _Columns, left: Indices, right: Indices) -> tuple[Indices, Indices]:
    """Keep pairs of one label with few differing bits; means and contrasts bound the error from below."""
    possible = _differing_bits(one.hashes[left], two.hashes[right]) <= MOST_DIFFERING_BITS
    possible &= one.labels[left] == two.labels[right]
    allowed = _allowed_error(one.contrasts[left], two.contrasts[right])
    possible &= np.abs(one.means[left] - two.means[right]) <= allowed
    possible &= np.abs(one.contrasts[left] - two.contrasts[right]) <= allowed
    return left[possible], right[possible]


def _allowed_error(left: Floats, right: Floats) -> Floats:
    contrast = np.minimum(left, right)
    allowed = np.minimum(MOST_ERROR, MOST_ERROR_OF_CONTRAST * contrast)
    return np.where(contrast >= LEAST_CONTRAST, allowed, -1.0)


def _sharing_band(
    first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64], shift: int
) -> Iterator[tuple[Indices, Indices]]:
    """Yield blocks of index pairs whose band of 16 bits is equal, at most about PAIRS_AT_ONCE a block."""
    keys, others = (_band(hashes, shift) for hashes in (first, second))
    order = np.argsort(others, kind="stable")
    begins = np.searchsorted(others[order], keys, side="left")
    counts = np.searchsorted(others[order], keys, side="right") - begins
    blocks = np.cumsum(counts) // PAIRS_AT_ONCE
    for block in np.unique(blocks):
        rows = np.flatnonzero((blocks == block) & (counts > 0))
        left = np.repeat(rows, counts[rows])
        ends = np.cumsum(counts[rows])
        offsets = np.arange(len(left)) - np.repeat(ends - counts[rows], counts[rows])
        yield left, order[np.repeat(begins[rows], counts[rows]) + offsets]


def _band(hashes: npt.NDArray[np.uint64], shift: int) -> npt.NDArray[np.uint16]:
    return (hashes >> np.uint64(shift)).astype(np.uint16)


def _differing_bits(first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    differing = (first ^ second).view(np.uint8).reshape(len(first), 8)
    return np.asarray(_BITS_OF_A_BYTE[differing].sum(axis=1), dtype=np.uint8)


def _confirmed(
    one: _Columns, two: _Columns, left: Indices, right: Indices
) -> Iterator[tuple[int, int, float]]:
    """Yield the pairs whose thumbnails differ by no more than a lossy encoder makes them."""
    allowed = _allowed_error(one.contrasts[left], two.contrasts[right])
    for begin in range(0, len(left), CONFIRMED_AT_ONCE):
        block = slice(begin, begin + CONFIRMED_AT_ONCE)
        difference = one.thumbnails[left[block]].astype(np.float32) - two.thumbnails[right[block]]
        errors = np.sqrt(np.mean(difference**2, axis=(1, 2), dtype=np.float64))
        for place in np.flatnonzero(errors <= allowed[block]) + begin:
            yield int(left[place]), int(right[place]), float(errors[place - begin])
