"""The original's proven faults in pairing and staging, each by its row and with its very input."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deft import files
from deft.workspace.layout import Workspace
from deft.workspace.rows import read_table
from tiny_workspace import LIGHT, make_workspace

Say = Callable[..., Any]


def draw(path: Path, shade: int = 9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade, 2 * shade, 3 * shade)).save(path)
    return path


def prepare(say: Say, root: Path, *more: object) -> Any:
    folders = ("--input-dir", root / "ng", "--golden-dir", root / "ok")
    return say("changenet-data-pair-prepare", *folders, "--output", root / "out.csv", *more)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "workspace")


def prestage(say: Say, workspace: Workspace, *more: object) -> Any:
    return say(
        "prestage-pregen", "--workspace", workspace.root, "--results-dir", workspace.results / "r", *more
    )


def test_b1_the_original_paired_whole_file_names(tmp_path: Path, say: Say) -> None:
    """a.png and a.jpg gave "no golden match", no row and exit 0; a stem without a partner was skipped."""
    draw(tmp_path / "ng/a.png")
    draw(tmp_path / "ok/a.jpg")
    assert prepare(say, tmp_path, "--images-dir", tmp_path / "images").code == 0
    assert read_table(tmp_path / "out.csv")["object_name"].tolist() == ["a"]
    draw(tmp_path / "ng/alone.png")
    said = prepare(say, tmp_path)
    assert (said.code, "alone" in said.err) == (3, True)


def test_b2_the_original_never_looked_for_the_golden_of_a_real_row(workspace: Workspace, say: Say) -> None:
    row = read_table(workspace.mining_pool_table).iloc[0]
    name = f"{row['object_name']}_{LIGHT}.png"
    os.remove(workspace.mining_pool / "images" / row["golden_path"] / name)
    said = prestage(say, workspace)
    assert said.code == 3
    assert name in said.err


def test_b3_the_original_labelled_every_pair_ng(workspace: Workspace, say: Say) -> None:
    """`PCB+bridge_00000` became `ng`: the type in the stem was lost."""
    for folder in (workspace.reconstructed_images, workspace.original_images):
        draw(folder / "PCB+bridge_00000.png", 7)
    assert prestage(say, workspace).code == 0
    pool = read_table(workspace.results / "r/synth_pool/sdg_rows.csv").set_index("object_name")
    assert pool.loc["PCB+bridge_00000", "label"] == "bridge"


def test_b4_the_original_wrote_solderlight_whatever_light_was_staged(tmp_path: Path, say: Say) -> None:
    workspace = make_workspace(tmp_path / "white", lights=("WhiteLight",))
    assert prestage(say, workspace, "--light", "WhiteLight", "--image-ext", ".png").code == 0
    pool = read_table(workspace.results / "r/synth_pool/source_pool.csv")
    assert all(path.endswith("_WhiteLight.png") and Path(path).is_file() for path in pool["filepath"])


def test_b5_the_original_refused_after_a_crash(workspace: Workspace, say: Say) -> None:
    """Only `--force` helped, which deleted all."""
    broken = min(workspace.reconstructed_images.iterdir())
    content = broken.read_bytes()
    broken.write_bytes(content[:30])
    assert prestage(say, workspace).code == 3
    broken.write_bytes(content)
    assert prestage(say, workspace).code == 0
    assert (workspace.results / "r/synth_pool/manifest.json").is_file()


def test_b6_the_original_dropped_a_level_of_a_folder_without_a_slash(workspace: Workspace, say: Say) -> None:
    """`images` became `augmentation/mining_pool/` by dirname, and a traceback followed."""
    draw(workspace.mining_pool / "images" / f"U7_{LIGHT}.png")
    text = "input_path,golden_path,label,object_name\nimages,images,PASS,U7\n"
    files.write_text(workspace.mining_pool_table, text)
    assert prestage(say, workspace).code == 0
    pool = read_table(workspace.results / "r/synth_pool/source_pool.csv")
    assert pool["input_path"][0] == "augmentation/mining_pool/images"


def test_b7_the_original_overwrote_one_of_two_pictures_of_a_stem(tmp_path: Path, say: Say) -> None:
    """a.jpg and a.png became one file and two identical rows."""
    for name in ("ng/a.jpg", "ng/a.png", "ok/a.png"):
        draw(tmp_path / name)
    said = prepare(say, tmp_path)
    assert (said.code, "twice" in said.err) == (3, True)
    assert not (tmp_path / "out.csv").exists()


def test_b8_the_original_wrote_its_table_by_string_formatting(tmp_path: Path, say: Say) -> None:
    """The stem `b,1` became object `b` of project `1`."""
    for side in ("ng", "ok"):
        draw(tmp_path / side / "b,1.png")
    assert prepare(say, tmp_path, "--images-dir", tmp_path / "images").code == 0
    row = read_table(tmp_path / "out.csv").iloc[0]
    assert (row["object_name"], row["project"]) == ("b,1", "")


def test_b9_the_original_wrote_jpeg_bytes_into_png_files(tmp_path: Path, say: Say) -> None:
    for side in ("ng", "ok"):
        draw(tmp_path / side / "a.jpg")
    assert prepare(say, tmp_path, "--images-dir", tmp_path / "images", "--image-ext", ".png").code == 0
    staged = [path for path in (tmp_path / "images").rglob("*.png")]
    assert len(staged) == 2
    assert {path.read_bytes()[:4] for path in staged} == {b"\x89PNG"}
