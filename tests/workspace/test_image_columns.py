"""A path stands once, a row names it by number, and every image that a row names is a file below its root."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from deft.errors import InputRefused
from deft.workspace import image_columns
from deft.workspace.image_columns import ImageColumns, resolve_images
from deft.workspace.rows import ImageLayout

LAYOUT = ImageLayout((), ".png")


def table_of(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["input_path", "golden_path", "object_name"], dtype="str")


def named(images: ImageColumns) -> list[tuple[str, str]]:
    pairs = zip(images.inputs, images.goldens, strict=True)
    return [(images.paths[one], images.paths[other]) for one, other in pairs]


def test_every_image_is_named_light_by_light_as_the_layout_names_its_column() -> None:
    table = table_of(("a", "b", "U1"), ("/abs", "b", "U2"), ("a", "a", "U1"))
    layout = ImageLayout(("Top", "Side"), ".png")
    found = named(ImageColumns.of(table, Path("/i"), layout))
    columns = [layout.column_paths(table, Path("/i"), side) for side in ("input_path", "golden_path")]
    assert found == [pair for light in zip(*columns, strict=True) for pair in zip(*light, strict=True)]


def test_a_path_that_many_rows_name_stands_once() -> None:
    images = ImageColumns.of(table_of(*[("a", "b", "U1")] * 9, ("b", "a", "U1")), Path("/i"), LAYOUT)
    assert images.paths == ["/i/a/U1.png", "/i/b/U1.png"]


def test_joined_images_keep_what_they_name() -> None:
    one, other = (ImageColumns.of(table_of((x, "g", "U1")), Path("/i"), LAYOUT) for x in "ab")
    assert named(one.joined(other)) == named(one) + named(other)


def test_missing_images_are_listed_with_row_and_path_up_to_five(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "ok").mkdir()
    for name in ("in/U0.png", "ok/U0.png", *(f"ok/U{n}.png" for n in range(1, 8))):
        (tmp_path / name).touch()
    table = table_of(*(("in", "ok", f"U{n}") for n in range(8)))
    with pytest.raises(InputRefused) as caught:
        resolve_images(table, tmp_path, LAYOUT)
    message = str(caught.value)
    assert "7 image(s)" in message
    assert f"row 3: {tmp_path}/in/U1.png" in message
    assert "U5.png" in message
    assert "U6.png" not in message
    resolve_images(table.head(1), tmp_path, LAYOUT)


def test_a_folder_with_the_name_of_an_image_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "in" / "U1.png").mkdir(parents=True)
    table = table_of(("in", "in", "U1"))
    with pytest.raises(InputRefused, match="do not exist"):
        resolve_images(table, tmp_path, LAYOUT)


def test_a_missing_image_is_found_in_every_block_and_light(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_columns, "BLOCK_ROWS", 2)
    for light in ("A", "B"):
        for n in range(5):
            (tmp_path / f"U{n}_{light}.png").touch()
    (tmp_path / "U3_B.png").unlink()
    table = table_of(*((".", ".", f"U{n}") for n in range(5)))
    with pytest.raises(InputRefused, match=r"2 image\(s\) of 5 rows .*row 5: .*U3_B\.png"):
        resolve_images(table, tmp_path, ImageLayout(("A", "B"), ".png"))
