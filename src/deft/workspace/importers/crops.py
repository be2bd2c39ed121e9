"""Choose crops on a pair of binarised boards: where a defect shows, and where nothing is wrong.

Rules of research/engine.md section 1: a defective crop stands around an annotated box, displaced a little,
and must show at least 20 differing pixels; a good one touches no box and must not differ (annotations are not
complete). Good crops hold both copper and substrate, but one in six may be plain: pinholes and stray copper
lie on plain ground, and a model that sees no good plain crop tells them by the golden picture alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from deft.workspace.importers.conditions import CROP, WINDOW

Mask = npt.NDArray[np.bool_]

VISIBLE_PIXELS = 20
UNLABELLED_PIXELS = 8
COPPER_SHARE = (0.08, 0.92)
ONE_PLAIN_IN = 6
CENTRE_JITTER = 12
SPACING = 24
GOOD_ATTEMPTS = 60
WARP_MARGIN = 6


@dataclass(frozen=True)
class Box:
    """One annotated defect: corners in pixels and its type."""

    left: int
    top: int
    right: int
    bottom: int
    defect: str

    @property
    def centre(self) -> tuple[int, int]:
        return (self.left + self.right) // 2, (self.top + self.bottom) // 2

    @property
    def side(self) -> int:
        return max(self.right - self.left, self.bottom - self.top)


@dataclass(frozen=True)
class BoardPair:
    """A board and its template: copper or not, each (height, width), with the annotated defects."""

    name: str
    group: str
    golden: Mask
    test: Mask
    boxes: tuple[Box, ...] = field(default=())


@dataclass(frozen=True)
class Crop:
    """A place on a board, by its centre, and what is wrong there (None: nothing)."""

    x: int
    y: int
    defect: str | None

    def of(self, board: Mask, size: int = CROP) -> Mask:
        """Return the square of a board around the crop's centre."""
        half = size // 2
        return board[self.y - half : self.y + half, self.x - half : self.x + half]


@dataclass(frozen=True)
class Cut:
    """A crop with its (96, 96) windows of golden and test board, so that the boards need not be kept."""

    board: str
    group: str
    crop: Crop
    golden: Mask
    test: Mask


def cut(board: BoardPair, crop: Crop) -> Cut:
    """Cut a crop's windows out of a board."""
    golden, test = crop.of(board.golden, WINDOW).copy(), crop.of(board.test, WINDOW).copy()
    return Cut(board.name, board.group, crop, golden, test)


def defect_crop(rng: np.random.Generator, board: BoardPair, box: Box) -> Crop | None:
    """Return a crop in which an annotated defect shows, or None if none does."""
    if box.side > CROP:
        return None
    x, y = (int(at + rng.integers(-CENTRE_JITTER, CENTRE_JITTER + 1)) for at in box.centre)
    crop = Crop(*_inside(board, x, y), box.defect)
    shows = visible_pixels(crop.of(board.golden), crop.of(board.test)) >= VISIBLE_PIXELS
    return crop if shows else None


def good_crops(rng: np.random.Generator, board: BoardPair) -> Iterator[Crop]:
    """Yield crops without a defect, no two of them closer than `SPACING` pixels, until none is found."""
    taken: list[tuple[int, int]] = []
    plain = misses = 0
    height, width = board.golden.shape
    half = WINDOW // 2
    while misses < GOOD_ATTEMPTS:
        x, y = int(rng.integers(half, width - half + 1)), int(rng.integers(half, height - half + 1))
        is_plain = _is_plain(board, x, y)
        enough = is_plain and plain * ONE_PLAIN_IN > len(taken)
        near = any(abs(x - a) < SPACING and abs(y - b) < SPACING for a, b in taken)
        if enough or near or not _is_good(board, x, y):
            misses += 1
            continue
        misses, plain = 0, plain + is_plain
        taken.append((x, y))
        yield Crop(x, y, None)


def visible_pixels(golden: Mask, test: Mask) -> int:
    """Count differing pixels that survive an opening by three by three: edges one pixel off do not count."""
    return int(_opened(golden ^ test).sum())


def _opened(mask: Mask) -> Mask:
    eroded = _three(_three(np.pad(mask, 2), np.logical_and, 0), np.logical_and, 1)
    return _three(_three(eroded, np.logical_or, 0), np.logical_or, 1)


def _three(mask: Mask, combine: np.ufunc, axis: int) -> Mask:
    """Combine each pixel with its two neighbours along an axis, which becomes two pixels shorter."""
    lines = np.moveaxis(mask, axis, 0)
    combined: Mask = np.moveaxis(combine(combine(lines[:-2], lines[1:-1]), lines[2:]), 0, axis)
    return combined


def _inside(board: BoardPair, x: int, y: int) -> tuple[int, int]:
    """Return the nearest centre whose whole window lies on the board."""
    height, width = board.golden.shape
    half = WINDOW // 2
    return min(max(x, half), width - half), min(max(y, half), height - half)


def _is_plain(board: BoardPair, x: int, y: int) -> bool:
    low, high = COPPER_SHARE
    return not low <= Crop(x, y, None).of(board.golden).mean() <= high


def _is_good(board: BoardPair, x: int, y: int) -> bool:
    reach = CROP // 2 + WARP_MARGIN
    if any(_touches(box, x, y, reach) for box in board.boxes):
        return False
    crop = Crop(x, y, None)
    return visible_pixels(crop.of(board.golden), crop.of(board.test)) < UNLABELLED_PIXELS


def _touches(box: Box, x: int, y: int, reach: int) -> bool:
    beside = box.left >= x + reach or box.right <= x - reach
    return not (beside or box.top >= y + reach or box.bottom <= y - reach)
