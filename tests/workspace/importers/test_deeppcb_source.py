"""Reading DeepPCB's folders: complete boards, copper, annotations."""

from __future__ import annotations

from pathlib import Path

import pytest
from deeppcb_like import GROUPS, make_source
from PIL import Image

from deft.errors import InputRefused
from deft.workspace.importers.crops import Box
from deft.workspace.importers.deeppcb_source import find_boards, read_board, read_boxes


def test_black_is_copper_and_boxes_carry_their_type(tmp_path: Path) -> None:
    found = find_boards(make_source(tmp_path) / "PCBData")
    board = read_board(found.boards[0])
    assert found.groups == tuple(sorted(GROUPS))
    assert 0.4 < board.golden.mean() < 0.5
    assert [box.defect for box in board.boxes] == ["open", "short", "mousebite", "spur", "copper", "pinhole"]
    assert (board.name, board.group) == (f"b{found.boards[0].identifier}", found.boards[0].group)


def test_annotations_may_be_separated_by_blanks_or_commas(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("1 2 3 4 5\n6,7,8,9,1\n")
    assert read_boxes(tmp_path / "x.txt") == (Box(1, 2, 3, 4, "copper"), Box(6, 7, 8, 9, "open"))


def test_a_board_smaller_than_a_window_is_refused(tmp_path: Path) -> None:
    board = find_boards(make_source(tmp_path)).boards[0]
    for path in (board.golden, board.test):
        Image.new("L", (90, 320)).save(path)
    with pytest.raises(InputRefused, match="smaller than 96"):
        read_board(board)


def test_boards_without_all_three_files_are_counted_and_left_out(tmp_path: Path) -> None:
    folder = make_source(tmp_path / "source") / "PCBData" / "group00041"
    (folder / "00041" / "00041000_test.jpg").unlink()
    (folder / "00041_not" / "00041001.txt").unlink()
    found = find_boards(tmp_path / "source")
    assert found.incomplete == ("00041000", "00041001")
    assert len(found.boards) == sum(GROUPS.values()) - 2


def test_a_folder_without_boards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="no DeepPCB board"):
        find_boards(tmp_path)


@pytest.mark.parametrize("line", ["1 2 3 4", "1 2 3 4 9", "a b c d e"])
def test_a_broken_annotation_is_refused_by_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.txt").write_text(f"1 2 3 4 5\n\n{line}\n")
    with pytest.raises(InputRefused, match="line 3"):
        read_boxes(tmp_path / "x.txt")


def test_a_board_whose_pictures_differ_in_size_is_refused(tmp_path: Path) -> None:
    board = find_boards(make_source(tmp_path / "source")).boards[0]
    Image.new("L", (100, 320)).save(board.test)
    with pytest.raises(InputRefused, match="differ in size"):
        read_board(board)
