"""Golden and test folders with a table of labels become a workspace, or one clear refusal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from folders_like import BOARDS, PARTS, Source, save
from PIL import Image

from deft.errors import StateConflict, UsageError
from deft.workspace.image_columns import resolve_images
from deft.workspace.importers.folders import Pregenerated, import_folders
from deft.workspace.importers.folders_source import Columns
from deft.workspace.layout import Workspace
from deft.workspace.leakage import assert_disjoint, find_overlaps
from deft.workspace.pairs import pair_stems
from deft.workspace.pool_paths import resolve_pool_paths
from deft.workspace.rows import PASS, ImageLayout, read_table
from deft.workspace.sides import workspace_sides
from deft.workspace.training_spec import prove_spec, read_baseline_spec

LAYOUT = ImageLayout(("Camera",), ".png")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path / "source")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


def tables_of(workspace: Workspace) -> dict[str, pd.DataFrame]:
    return {
        "train": read_table(workspace.training_table),
        "validation": read_table(workspace.validation_table),
        "kpi": read_table(workspace.kpi_table),
        "holdout": read_table(workspace.holdout_table),
        "pool": read_table(workspace.mining_pool_table),
    }


def test_every_labelled_part_lands_in_one_split_with_its_images(source: Source, place: Path) -> None:
    workspace = source.import_into(place)
    tables = tables_of(workspace)
    assert sum(map(len, tables.values())) == BOARDS * PARTS
    pool = tables.pop("pool")
    for table in tables.values():
        resolve_images(table, workspace.images, LAYOUT)
        assert PASS in set(table.label)
        assert {"scratch", "missing"} & set(table.label)
    resolve_pool_paths(pool, workspace, LAYOUT)
    prove_spec(read_baseline_spec(workspace))
    assert_disjoint(find_overlaps(workspace_sides(workspace)))


def test_no_board_stands_on_two_sides(source: Source, place: Path) -> None:
    boards = [set(table.boardname) for table in tables_of(source.import_into(place)).values()]
    assert sum(map(len, boards)) == len(set.union(*boards)) == BOARDS


def test_shares_are_met_as_nearly_as_whole_boards_allow(source: Source, place: Path) -> None:
    shares = {"train": 0.2, "validation": 0.1, "kpi": 0.3, "holdout": 0.1}
    tables = tables_of(source.import_into(place, shares=shares))
    for split, share in shares.items():
        assert len(tables[split]) == pytest.approx(share * BOARDS * PARTS, abs=PARTS)


def test_without_a_board_column_parts_with_one_golden_stay_together(source: Source, place: Path) -> None:
    workspace = source.import_into(place, columns=Columns(defect="defect"))
    sides = [set(t.object_name.str.slice(0, 3)) for t in tables_of(workspace).values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == BOARDS
    assert "golden" in json.loads(workspace.provenance.read_text())["grouped_by"]


def test_without_a_defect_column_the_label_is_the_defect_type(source: Source, place: Path) -> None:
    tables = tables_of(source.import_into(place, columns=Columns(board="board")))
    assert set(tables["kpi"].label) == {PASS, "ng"}


def test_the_users_own_word_for_good_parts_becomes_pass(source: Source, place: Path) -> None:
    source.table["label"] = source.table["label"].replace(PASS, "OK")
    source.write()
    assert PASS in set(tables_of(source.import_into(place, pass_label="OK"))["kpi"].label)


def test_pictures_of_one_format_keep_their_bytes(source: Source, place: Path) -> None:
    workspace = source.import_into(place)
    row = read_table(workspace.kpi_table).iloc[0].to_dict()
    copied = LAYOUT.input_images(row, workspace.images)[0]
    assert copied.read_bytes() == (source.test / f"{row['object_name']}.png").read_bytes()


def test_pictures_of_mixed_formats_become_png_with_the_same_pixels(source: Source, place: Path) -> None:
    old = source.test / "b00_p1.png"
    Image.open(old).save(old.with_suffix(".bmp"))
    old.unlink()
    source.import_into(place)
    found = next(place.rglob("test/b00_p1_Camera.png"))
    assert found.read_bytes().startswith(b"\x89PNG")
    assert (np.asarray(Image.open(found)) == np.asarray(Image.open(old.with_suffix(".bmp")))).all()


def test_lights_are_found_by_their_suffix(tmp_path: Path, place: Path) -> None:
    lights = ("SolderLight", "WhiteLight")
    workspace = Source(tmp_path / "source", lights=lights).import_into(place, lights=lights)
    layout = ImageLayout.from_spec(read_baseline_spec(workspace))
    assert layout.lights == lights
    resolve_images(read_table(workspace.kpi_table), workspace.images, layout)


def test_a_part_that_lacks_one_light_is_refused(tmp_path: Path, place: Path) -> None:
    lights = ("A", "B")
    source = Source(tmp_path / "source", lights=lights)
    (source.test / "b03_p2_B.png").unlink()
    assert "b03_p2" in str(source.refused(place, "labelled image", lights=lights))


def test_a_file_of_an_unknown_light_is_refused(tmp_path: Path, place: Path) -> None:
    source = Source(tmp_path / "source", lights=("A",))
    assert "with --light," in str(source.refused(place, "no light", lights=("C",)))


def test_stand_in_pairs_are_pasted_on_pool_parts_so_that_the_loop_can_run(
    source: Source, place: Path
) -> None:
    workspace = source.import_into(place)
    pool = set(read_table(workspace.mining_pool_table).query("label == 'PASS'").object_name)
    pairs = pair_stems(workspace.reconstructed_images, workspace.original_images)
    assert len(pairs) == json.loads(workspace.provenance.read_text())["pasted_pairs"] >= 8
    assert all(pair.stem.split("+pasted_")[0] in pool for pair in pairs)


def test_pregenerated_pairs_are_taken_as_they_are(source: Source, place: Path, tmp_path: Path) -> None:
    for folder in ("ng", "ok"):
        save(tmp_path / folder / "x+scratch_0.png", np.zeros((8, 8, 3), np.uint8))
    workspace = source.import_into(place, pregenerated=Pregenerated(tmp_path / "ng", tmp_path / "ok"))
    pairs = pair_stems(workspace.reconstructed_images, workspace.original_images)
    assert [pair.stem for pair in pairs] == ["x+scratch_0"]


def test_the_same_seed_splits_the_same_and_another_seed_otherwise(source: Source, tmp_path: Path) -> None:
    splits = []
    for number, seed in enumerate((1, 1, 2)):
        root = tmp_path / f"w{number}"
        source.import_into(root, seed=seed)
        splits.append((root / "provenance.csv").read_bytes())
    assert splits[0] == splits[1] != splits[2]


def test_too_few_defective_boards_are_refused_with_what_each_split_has(source: Source, place: Path) -> None:
    bad = source.table.label == "NG"
    source.table.loc[bad & (source.table.board > "board02"), ["label", "defect"]] = [PASS, ""]
    source.write()
    assert "good and 0 defective rows" in str(source.refused(place, "do not suffice"))


def test_a_broken_image_is_refused_before_anything_is_written(source: Source, place: Path) -> None:
    (source.test / "b05_p1.png").write_bytes(b"\x89PNG broken")
    source.refused(place, "cannot be read")


@pytest.mark.parametrize(
    "shares",
    [
        {"train": 0.5, "validation": 0.3, "kpi": 0.2},
        {"train": 0.0, "validation": 0.3, "kpi": 0.2},
        {"train": 0.1, "validation": 0.3, "kpi": 0.2, "test": 0.1},
        {"train": float("nan"), "validation": 0.3, "kpi": 0.2},
        {"train": 0.1, "validation": 0.3, "kpi": 0.2, "holdout": float("nan")},
        {"train": 0.1, "validation": 0.3, "kpi": 0.2, "holdout": -0.1},
        {"train": 0.1, "validation": 0.3, "kpi": 0.2, "holdout": float("-inf")},
    ],
)
def test_shares_that_are_no_fractions_or_leave_nothing_for_a_split_are_a_usage_error(
    source: Source, place: Path, shares: dict[str, float]
) -> None:
    with pytest.raises(UsageError):
        source.import_into(place, shares=shares)


def test_a_workspace_that_holds_anything_is_refused_before_anything_is_read(place: Path) -> None:
    place.mkdir()
    (place / "mine").touch()
    nowhere = place / "nowhere"
    with pytest.raises(StateConflict):
        import_folders(nowhere, nowhere, nowhere, place)
