"""Lossy copies of a picture: candidates by a 64-bit difference hash, confirmed by the error of their pixels.

Candidates share one of the four 16-bit bands of the hash, so a hundred thousand pictures need a sort and not
ten thousand million comparisons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from deft.workspace.pixels import Picture

BANDS = (0, 16, 32, 48)
MOST_DIFFERING_BITS = 6
MOST_ERROR = 6.0
MOST_ERROR_OF_CONTRAST = 0.2
MOST_CANDIDATES = 200_000
PAIRS_AT_ONCE = 2_000_000
CONFIRMED_AT_ONCE = 8_192

_BITS_OF_A_BYTE = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)

Indices = npt.NDArray[np.intp]


def near_copies(
    first: Sequence[Picture],
    second: Sequence[Picture],
    first_labels: Sequence[str],
    second_labels: Sequence[str],
) -> tuple[list[tuple[int, int, float]], int]:
    """Return (index in first, index in second, error) of likely copies, and how many went unchecked.

    The error is the root mean square over a 32 x 32 grey thumbnail, in levels of 255. Pictures of different
    labels are never matched (a small defect is all that tells them apart), nor pictures without contrast,
    nor those with equal pixels, which are no lossy copies.
    """
    if not first or not second:
        return [], 0
    ones, twos, bits = _candidates(_hashes(first), _hashes(second), _codes(first_labels, second_labels))
    nearest_first = np.lexsort((twos, ones, bits))
    kept, unchecked = nearest_first[:MOST_CANDIDATES], max(0, len(ones) - MOST_CANDIDATES)
    return list(_confirmed(first, second, ones[kept], twos[kept])), unchecked


def _hashes(pictures: Sequence[Picture]) -> npt.NDArray[np.uint64]:
    return np.array([picture.difference_hash for picture in pictures], dtype=np.uint64)


def _codes(first: Sequence[str], second: Sequence[str]) -> tuple[Indices, Indices]:
    codes = np.unique([*first, *second], return_inverse=True)[1]
    return codes[: len(first)], codes[len(first) :]


def _candidates(
    first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64], labels: tuple[Indices, Indices]
) -> tuple[Indices, Indices, npt.NDArray[np.uint8]]:
    """Return the index pairs of one label whose hashes share a band and differ in few bits, each once."""
    found = []
    for shift in BANDS:
        for ones, twos in _sharing_band(first, second, shift):
            few = _differing_bits(first[ones], second[twos]) <= MOST_DIFFERING_BITS
            near = few & (labels[0][ones] == labels[1][twos])
            found.append(ones[near] * len(second) + twos[near])
    ones, twos = np.divmod(np.unique(np.concatenate(found)), len(second))
    return ones, twos, _differing_bits(first[ones], second[twos])


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
        ones = np.repeat(rows, counts[rows])
        ends = np.cumsum(counts[rows])
        offsets = np.arange(len(ones)) - np.repeat(ends - counts[rows], counts[rows])
        yield ones, order[np.repeat(begins[rows], counts[rows]) + offsets]


def _band(hashes: npt.NDArray[np.uint64], shift: int) -> npt.NDArray[np.uint16]:
    return (hashes >> np.uint64(shift)).astype(np.uint16)


def _differing_bits(first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    differing = (first ^ second).view(np.uint8).reshape(len(first), 8)
    return np.asarray(_BITS_OF_A_BYTE[differing].sum(axis=1), dtype=np.uint8)


def _confirmed(
    first: Sequence[Picture], second: Sequence[Picture], ones: Indices, twos: Indices
) -> Iterator[tuple[int, int, float]]:
    """Yield the pairs whose thumbnails differ by little, absolutely and against their own contrast."""
    for begin in range(0, len(ones), CONFIRMED_AT_ONCE):
        block = slice(begin, begin + CONFIRMED_AT_ONCE)
        left, right = _thumbnails(first, ones[block]), _thumbnails(second, twos[block])
        errors = np.sqrt(np.mean((left - right) ** 2, axis=(1, 2)))
        contrast = np.minimum(left.std(axis=(1, 2)), right.std(axis=(1, 2)))
        close = (errors <= MOST_ERROR) & (errors <= MOST_ERROR_OF_CONTRAST * contrast) & (contrast > 0)
        for one, two, error in zip(ones[block][close], twos[block][close], errors[close], strict=True):
            if first[one].pixels != second[two].pixels:
                yield int(one), int(two), float(error)


def _thumbnails(pictures: Sequence[Picture], indices: Indices) -> npt.NDArray[np.float32]:
    return np.stack([pictures[index].thumbnail for index in indices]).astype(np.float32)
