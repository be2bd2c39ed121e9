"""Which crops of a board are taken."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from deft.workspace.importers.conditions import CROP
from deft.workspace.importers.crops import (
    SPACING,
    BoardPair,
    Box,
    Crop,
    defect_crop,
    good_crops,
    visible_pixels,
)


def striped_board(*, boxes: tuple[Box, ...] = (), side: int = 400) -> BoardPair:
    golden = np.zeros((side, side), bool)
    for column in range(0, side, 40):
        golden[:, column : column + 18] = True
    return BoardPair("b1", "g", golden, golden.copy(), boxes)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_an_edge_one_pixel_off_does_not_count_as_visible() -> None:
    golden = striped_board().golden
    assert visible_pixels(golden, np.roll(golden, 1, axis=1)) == 0
    assert visible_pixels(golden, np.roll(golden, 4, axis=1)) > 1000


def test_a_difference_smaller_than_three_by_three_is_not_visible() -> None:
    golden = np.zeros((20, 20), bool)
    test = golden.copy()
    test[4:6, 4:12] = True
    assert visible_pixels(golden, test) == 0
    test[4:8, 4:12] = True
    assert visible_pixels(golden, test) == 32


def test_a_box_in_which_nothing_shows_gives_no_crop() -> None:
    board = striped_board(boxes=(Box(100, 100, 120, 120, "open"),))
    assert defect_crop(rng(), board, board.boxes[0]) is None
    board.test[100:120, 100:120] ^= True
    crop = defect_crop(rng(), board, board.boxes[0])
    assert crop is not None
    assert (crop.defect, crop.of(board.golden).shape) == ("open", (CROP, CROP))


def test_a_box_larger_than_a_crop_gives_none() -> None:
    board = striped_board(boxes=(Box(100, 100, 190, 120, "open"),))
    board.test[100:120, 100:190] ^= True
    assert defect_crop(rng(), board, board.boxes[0]) is None


def test_a_defect_at_the_border_is_cropped_within_the_board() -> None:
    board = striped_board(boxes=(Box(4, 4, 30, 30, "open"),))
    board.test[4:30, 4:30] ^= True
    crop = defect_crop(rng(), board, board.boxes[0])
    assert crop is not None
    assert crop.of(board.golden, 96).shape == (96, 96)


def test_good_crops_touch_no_box_and_keep_their_distance() -> None:
    board = striped_board(boxes=(Box(150, 150, 250, 250, "spur"),))
    crops = list(good_crops(rng(), board))
    assert len(crops) > 10
    for number, crop in enumerate(crops):
        assert not (crop.x + 32 > 150 and crop.x - 32 < 250 and crop.y + 32 > 150 and crop.y - 32 < 250)
        for other in crops[:number]:
            assert max(abs(crop.x - other.x), abs(crop.y - other.y)) >= SPACING


def test_a_difference_without_a_box_is_not_good() -> None:
    board = striped_board()
    board.test[:, 200:204] ^= True
    crops = list(good_crops(rng(), board))
    assert crops
    assert all(crop.x - 32 > 201 or crop.x + 32 < 203 for crop in crops)


@pytest.mark.parametrize("copper", [True, False])
def test_plain_crops_are_a_small_part_of_the_good_ones(copper: bool) -> None:
    board = striped_board(side=600)
    board.golden[:, :400] = board.test[:, :400] = copper
    crops = list(islice(good_crops(rng(), board), 40))
    plain = sum(not 0.08 <= crop.of(board.golden).mean() <= 0.92 for crop in crops)
    assert 0 < plain <= len(crops) / 5


def test_a_crop_is_centred_where_it_says() -> None:
    board = np.zeros((200, 200), bool)
    board[70, 90] = True
    assert Crop(90, 70, None).of(board)[CROP // 2, CROP // 2]
