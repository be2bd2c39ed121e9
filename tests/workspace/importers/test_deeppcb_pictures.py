"""Pictures of binarised crops: one look a board, pairs that share it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deft.workspace.importers.crops import Crop, Cut
from deft.workspace.importers.deeppcb_pictures import Darkroom
from deft.workspace.layout import Workspace
from deft.workspace.pairs import pair_stems


def striped(board: str = "b1") -> Cut:
    golden = np.zeros((96, 96), bool)
    for column in (8, 40, 72):
        golden[:, column : column + 14] = True
    test = golden.copy()
    test[40:50, 40:54] = False
    return Cut(board, "g", Crop(48, 48, "open"), golden, test)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize(("split", "folder"), [("kpi", "kpi"), ("pool", "augmentation/mining_pool")])
def test_a_row_files_its_golden_and_its_test_picture(tmp_path: Path, split: str, folder: str) -> None:
    shot = Darkroom(Workspace(tmp_path), 0, True).file_row(rng(), split, striped(), "blue_side", "c1")
    images = tmp_path / folder / "images"
    golden = picture(images / "golden" / "b1" / "c1" / "c1_Camera.jpg")
    tested = picture(images / "b1" / "c1" / "c1_Camera.jpg")
    assert golden.shape == tested.shape == (64, 64, 3)
    assert golden[28, 30, 2] > tested[28, 30, 2] + 40
    assert shot["condition"] == "blue_side"


def test_two_rows_of_a_board_share_its_colours_and_two_boards_do_not(tmp_path: Path) -> None:
    darkroom = Darkroom(Workspace(tmp_path), 0, True)
    for board, name in (("b1", "c1"), ("b1", "c2"), ("b2", "c3")):
        darkroom.file_row(rng(), "kpi", striped(board), "green_white", name)
    golden = tmp_path / "kpi" / "images" / "golden"
    one, two = (picture(golden / "b1" / name / f"{name}_Camera.jpg") for name in ("c1", "c2"))
    other = picture(golden / "b2" / "c3" / "c3_Camera.jpg")
    assert (one == two).all()
    assert (one != other).any()


def test_a_synthetic_pair_is_named_by_its_defect_and_differs(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    record = Darkroom(workspace, 0, False).file_synthetic_pair(rng(), striped(), "short", 7)
    assert record is not None
    (pair,) = pair_stems(workspace.reconstructed_images, workspace.original_images)
    assert pair.stem == record["component"] == "b1+short_7"
    assert (np.abs(picture(pair.ng) - picture(pair.ok)).max(axis=2) > 128).sum() >= 20


def test_a_template_on_which_no_defect_fits_gives_no_pair(tmp_path: Path) -> None:
    bare = np.zeros((96, 96), bool)
    piece = Cut("b1", "g", Crop(48, 48, None), bare, bare)
    assert Darkroom(Workspace(tmp_path), 0, True).file_synthetic_pair(rng(), piece, "open", 1) is None
    assert list(tmp_path.iterdir()) == []
