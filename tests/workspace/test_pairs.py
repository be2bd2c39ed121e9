"""Two folders of pictures become rows, and nothing is dropped, renamed or mislabelled on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deft import files
from deft.errors import InputRefused, StateConflict, UsageError
from deft.workspace.pairs import pair_stems, prepare_pairs, stage_pairs
from deft.workspace.rows import ImageLayout, can_stand_in_a_row, read_table


def draw(path: Path, seed: int = 0, size: int = 16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
    formats = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP"}
    Image.fromarray(pixels).save(path, formats[path.suffix.lower()])
    return path


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "reconstructed_image", tmp_path / "original_image"


def draw_pair(sides: tuple[Path, Path], stem: str, ng: str = ".png", ok: str = ".png") -> None:
    draw(sides[0] / f"{stem}{ng}", 1)
    draw(sides[1] / f"{stem}{ok}", 2)


# --- pairing


@pytest.mark.parametrize(("ng", "ok"), [(".png", ".jpg"), (".JPG", ".jpeg"), (".bmp", ".PNG")])
def test_pictures_are_paired_by_stem_whatever_their_extensions(
    sides: tuple[Path, Path], ng: str, ok: str
) -> None:
    """B1: the original paired whole file names: a.png and a.jpg gave no pair, no row and exit 0."""
    draw_pair(sides, "a", ng, ok)
    (pair,) = pair_stems(*sides)
    assert (pair.stem, pair.ng.name, pair.ok.name) == ("a", f"a{ng}", f"a{ok}")


def test_pairs_come_in_the_order_of_their_stems(sides: tuple[Path, Path]) -> None:
    for stem in ("b", "a", "c"):
        draw_pair(sides, stem)
    assert [pair.stem for pair in pair_stems(*sides)] == ["a", "b", "c"]


def test_a_stem_that_stands_twice_is_refused(sides: tuple[Path, Path]) -> None:
    """B7: the original overwrote one of a.jpg and a.png and wrote two identical rows."""
    draw_pair(sides, "a")
    draw(sides[0] / "a.jpg")
    with pytest.raises(InputRefused, match=r"1 stem\(s\) twice: a\n"):
        pair_stems(*sides)


def test_unpaired_stems_are_refused_and_ten_are_listed(sides: tuple[Path, Path]) -> None:
    """B1: the original skipped what had no partner and went on."""
    draw_pair(sides, "paired")
    for n in range(12):
        draw(sides[n % 2] / f"lone{n:02}.png")
    with pytest.raises(InputRefused, match="have no partner") as caught:
        pair_stems(*sides)
    message = str(caught.value)
    assert message.startswith("12 picture(s)")
    assert "lone09" in message
    assert "lone10" not in message


def test_a_missing_or_empty_folder_is_refused_by_name(sides: tuple[Path, Path]) -> None:
    with pytest.raises(InputRefused, match=r"does not exist: .*reconstructed_image"):
        pair_stems(*sides)
    for folder in sides:
        folder.mkdir()
    (sides[0] / ".DS_Store").touch()
    with pytest.raises(InputRefused, match=r"is empty: .*reconstructed_image"):
        pair_stems(*sides)


def test_files_of_another_kind_and_subfolders_are_refused_rather_than_overlooked(
    sides: tuple[Path, Path],
) -> None:
    draw_pair(sides, "a")
    (sides[0] / "b.webp").touch()
    (sides[0] / "more").mkdir()
    with pytest.raises(InputRefused, match=r"2 entries that are no picture: b.webp, more"):
        pair_stems(*sides)


@pytest.mark.parametrize("stem", ["=1+1", "@a", " ", "a\x1b[2J"])
def test_a_stem_that_cannot_stand_in_a_table_is_refused(sides: tuple[Path, Path], stem: str) -> None:
    draw_pair(sides, stem)
    with pytest.raises(InputRefused, match="1 stem") as caught:
        pair_stems(*sides)
    assert "\x1b" not in str(caught.value)


# --- staging


def test_an_extension_tells_the_truth_about_the_bytes(sides: tuple[Path, Path], tmp_path: Path) -> None:
    """B9: the original wrote JPEG bytes into .png files."""
    draw_pair(sides, "a", ".jpg", ".bmp")
    converted = stage_pairs(pair_stems(*sides), ImageLayout((), ".png"), tmp_path / "ng", tmp_path / "ok")
    assert converted == 2
    for staged, source in (
        (tmp_path / "ng/a.png", sides[0] / "a.jpg"),
        (tmp_path / "ok/a.png", sides[1] / "a.bmp"),
    ):
        with Image.open(staged) as image, Image.open(source) as original:
            assert image.format == "PNG"
            assert image.tobytes() == original.tobytes()


def test_bytes_of_the_right_format_are_copied_as_they_are_for_every_light(
    sides: tuple[Path, Path], tmp_path: Path
) -> None:
    draw_pair(sides, "a", ".jpeg", ".JPG")
    layout = ImageLayout(("Top", "Side"), ".jpg")
    assert stage_pairs(pair_stems(*sides), layout, tmp_path / "ng", tmp_path / "ok") == 0
    source = (sides[0] / "a.jpeg").read_bytes()
    assert (tmp_path / "ng/a_Top.jpg").read_bytes() == source
    assert (tmp_path / "ng/a_Side.jpg").read_bytes() == source


def test_a_lie_in_the_source_is_set_right(sides: tuple[Path, Path], tmp_path: Path) -> None:
    draw_pair(sides, "a")
    (sides[0] / "a.png").rename(sides[0] / "a.jpg")
    stage_pairs(pair_stems(*sides), ImageLayout((), ".jpg"), tmp_path / "ng", tmp_path / "ok")
    with Image.open(tmp_path / "ng/a.jpg") as image:
        assert image.format == "JPEG"


def test_two_pictures_that_would_share_a_name_are_refused(sides: tuple[Path, Path], tmp_path: Path) -> None:
    draw_pair(sides, "a")
    draw_pair(sides, "a_x")
    with pytest.raises(InputRefused, match="one name"):
        stage_pairs(pair_stems(*sides), ImageLayout(("y", "x_y"), ".png"), tmp_path / "ng", tmp_path / "ok")


def test_a_broken_picture_or_an_unknown_extension_is_refused(
    sides: tuple[Path, Path], tmp_path: Path
) -> None:
    draw_pair(sides, "a")
    with pytest.raises(UsageError, match=r"\.webp"):
        stage_pairs(pair_stems(*sides), ImageLayout((), ".webp"), tmp_path / "ng", tmp_path / "ok")
    content = (sides[0] / "a.png").read_bytes()
    (sides[0] / "a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputRefused, match=r"a\.png"):
        stage_pairs(pair_stems(*sides), ImageLayout((), ".jpg"), tmp_path / "ng", tmp_path / "ok")


# --- by hand


def test_a_stem_with_a_comma_is_one_cell(sides: tuple[Path, Path], tmp_path: Path) -> None:
    """B8: the original wrote its CSV by string formatting: `b,1` became object b of project 1."""
    draw_pair(sides, "b,1")
    prepare_pairs(*sides, tmp_path / "out.csv", images_dir=tmp_path / "images")
    row = read_table(tmp_path / "out.csv").iloc[0]
    assert (row["object_name"], row["project"]) == ("b,1", "")
    assert (tmp_path / "images/sdg_ng/b,1_SolderLight.jpg").is_file()


STEM = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=12
)


@given(STEM)
def test_every_name_that_may_stand_in_a_row_reads_back_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, stem: str
) -> None:
    from deft.workspace.pairs import Pair, staged_rows
    from deft.workspace.rows import write_table

    if not can_stand_in_a_row(stem):
        return
    path = tmp_path_factory.getbasetemp() / "names.csv"
    write_table(path, staged_rows([Pair(stem, path, path)], ["ng"], "a/ng", "a/ok"))
    assert read_table(path).loc[0, "object_name"] == stem


def test_staged_rows_name_images_that_exist(sides: tuple[Path, Path], tmp_path: Path) -> None:
    draw_pair(sides, "PCB+Bridge_00000")
    images = tmp_path / "images"
    summary = prepare_pairs(
        *sides, tmp_path / "out.csv", images_dir=images, subdir="mine", light="Top", image_ext="png"
    )
    row = read_table(tmp_path / "out.csv").iloc[0]
    layout = ImageLayout(("Top",), ".png")
    assert row["label"] == "bridge"
    assert summary["labels"] == {"bridge": 1}
    assert summary["ng_staging_dir"] == str(images / "mine_ng")
    assert all(p.is_file() for p in (*layout.input_images(row, images), *layout.golden_images(row, images)))
    assert json.loads((tmp_path / "ingest_summary.json").read_text()) == summary


def test_without_an_images_folder_the_table_names_the_files_where_they_are(
    sides: tuple[Path, Path], tmp_path: Path
) -> None:
    draw_pair(sides, "a", ".png", ".jpg")
    summary = prepare_pairs(*sides, label="Open")
    table = files.read_csv(tmp_path / "sdg_pairs.csv")
    assert table.to_dict("records") == [
        {"input_path": str(sides[0] / "a.png"), "golden_path": str(sides[1] / "a.jpg"), "label": "open"}
    ]
    assert summary["output_csv"] == str(tmp_path / "sdg_pairs.csv")


def test_staging_again_changes_nothing_and_other_pictures_are_not_overwritten(
    sides: tuple[Path, Path], tmp_path: Path
) -> None:
    draw_pair(sides, "a")
    images = tmp_path / "images"
    first = prepare_pairs(*sides, tmp_path / "out.csv", images_dir=images)
    assert prepare_pairs(*sides, tmp_path / "out.csv", images_dir=images) == first
    draw_pair(sides, "b")
    with pytest.raises(StateConflict, match="other pictures"):
        prepare_pairs(*sides, tmp_path / "out.csv", images_dir=images)
    assert [path.name for path in (images / "sdg_ng").iterdir()] == ["a_SolderLight.jpg"]
