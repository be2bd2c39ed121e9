"""What cannot be paired or labelled is refused, by name and with the way out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from folders_like import Source
from PIL import Image

from deft.workspace.importers.folders_source import Columns


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path / "source")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


def test_an_unknown_column_is_refused_with_the_columns_there_are(source: Source, place: Path) -> None:
    refusal = source.refused(place, "no label column `verdict`", columns=Columns(label="verdict"))
    assert "image, label, board, defect" in str(refusal)
    assert "--label-column" in str(refusal)


def test_a_label_without_an_image_is_refused(source: Source, place: Path) -> None:
    (source.test / "b04_p1.png").unlink()
    assert "b04_p1" in str(source.refused(place, r"1 labelled image\(s\) not in"))


def test_an_image_without_a_label_is_refused(source: Source, place: Path) -> None:
    source.table = source.table.drop(index=7)
    source.write()
    assert "b01_p3" in str(source.refused(place, "not in .*labels.csv"))


def test_an_absent_golden_is_refused(source: Source, place: Path) -> None:
    (source.golden / "b02_p0.png").unlink()
    assert "b02_p0" in str(source.refused(place, "without golden"))


def test_an_image_named_twice_is_refused_with_both_rows(source: Source, place: Path) -> None:
    source.table = pd.concat([source.table, source.table.iloc[[0]]])
    source.write()
    assert "rows 2 and 82" in str(source.refused(place, "twice"))


def test_two_test_images_of_one_content_are_refused(source: Source, place: Path) -> None:
    shutil.copyfile(source.test / "b00_p1.png", source.test / "b09_p1.png")
    assert "b00_p1.png = b09_p1.png" in str(source.refused(place, "repeat the content"))


def test_one_image_in_two_formats_is_refused(source: Source, place: Path) -> None:
    Image.open(source.test / "b00_p1.png").save(source.test / "b00_p1.bmp")
    source.refused(place, "two files")


def test_labels_of_one_class_are_refused_with_the_counts(source: Source, place: Path) -> None:
    source.table["label"] = "NG"
    source.write()
    assert "--pass-label" in str(source.refused(place, "0 good and 80 defective"))


def test_a_label_that_is_pass_but_for_its_spelling_is_refused_with_its_row(
    source: Source, place: Path
) -> None:
    source.table.loc[1, "label"] = "Pass"
    source.write()
    source.refused(place, "row 3 ")


def test_an_empty_board_cell_is_refused(source: Source, place: Path) -> None:
    source.table.loc[4, "board"] = " "
    source.write()
    source.refused(place, r"row 6 of .*labels\.csv: board is empty")


@pytest.mark.parametrize(
    ("column", "cell", "fact"),
    [
        ("defect", "=cmd", "label begins like a formula"),
        ("defect", "a\x07b", "label holds a control character"),
        ("board", "a\x07b", "board holds a control character"),
        ("image", "=b00_p0.png", "image name"),
    ],
)
def test_a_cell_that_no_table_may_hold_is_refused_with_its_row_of_the_users_own_table(
    source: Source, place: Path, column: str, cell: str, fact: str
) -> None:
    source.table.loc[4, column] = cell
    source.write()
    source.refused(place, rf"row 6 of .*labels\.csv: {fact}")


def test_missing_folders_and_empty_ones_are_refused(source: Source, place: Path) -> None:
    shutil.rmtree(source.golden)
    source.refused(place, "folder does not exist")
    source.golden.mkdir()
    source.refused(place, "holds no")
