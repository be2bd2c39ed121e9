"""Synthetic defects on templates: each changes the board as its name says."""

from __future__ import annotations

import numpy as np
import pytest

from deft.workspace.importers.crops import VISIBLE_PIXELS, visible_pixels
from deft.workspace.importers.template_defects import BRUSHES, draw_defect

MIDDLE = slice(16, 80)
ADDS_COPPER = {"short", "spur", "copper"}


def tracks() -> np.ndarray:
    golden = np.zeros((96, 96), bool)
    for column in (8, 40, 72):
        golden[:, column : column + 14] = True
    return golden


def pieces(mask: np.ndarray) -> int:
    """Count connected areas by flooding."""
    left = mask.copy()
    count = 0
    while left.any():
        count += 1
        stack = [tuple(np.argwhere(left)[0])]
        while stack:
            row, column = stack.pop()
            if 0 <= row < 96 and 0 <= column < 96 and left[row, column]:
                left[row, column] = False
                stack += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    return count


def draw(defect: str, seed: int = 0) -> np.ndarray:
    drawn = draw_defect(np.random.default_rng(seed), tracks(), defect)
    assert drawn is not None
    return drawn


@pytest.mark.parametrize("defect", BRUSHES)
def test_every_defect_shows_inside_the_crop(defect: str) -> None:
    for seed in range(10):
        drawn = draw(defect, seed)
        assert visible_pixels(tracks()[MIDDLE, MIDDLE], drawn[MIDDLE, MIDDLE]) >= VISIBLE_PIXELS


@pytest.mark.parametrize("defect", BRUSHES)
def test_a_defect_adds_copper_or_takes_it_away(defect: str) -> None:
    golden, drawn = tracks(), draw(defect)
    added, taken = (drawn & ~golden).any(), (golden & ~drawn).any()
    assert (added, taken) == (defect in ADDS_COPPER, defect not in ADDS_COPPER)


def test_an_open_cuts_a_track_and_a_short_joins_two() -> None:
    assert pieces(tracks()) == 3
    assert pieces(draw("open")) == 4
    assert pieces(draw("short")) == 2


def test_stray_copper_touches_nothing_and_a_pinhole_lies_inside() -> None:
    assert pieces(draw("copper")) == 4
    hole = tracks() & ~draw("pinhole")
    grown = np.zeros_like(hole)
    grown[1:-1, 1:-1] = hole[1:-1, 1:-1] | hole[:-2, 1:-1] | hole[2:, 1:-1] | hole[1:-1, :-2] | hole[1:-1, 2:]
    assert not (grown & ~tracks()).any()


@pytest.mark.parametrize("defect", ["open", "short", "mousebite", "spur", "pinhole"])
def test_where_nothing_fits_nothing_is_drawn(defect: str) -> None:
    assert draw_defect(np.random.default_rng(0), np.zeros((96, 96), bool), defect) is None
