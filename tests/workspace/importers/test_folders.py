"""Golden and test folders with a table of labels become a workspace, or one clear refusal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deft.errors import InputRefused, StateConflict, UsageError
from deft.workspace.importers.folders import Pregenerated, import_folders
from deft.workspace.importers.folders_source import Columns
from deft.workspace.layout import Workspace
from deft.workspace.leakage import assert_disjoint, find_overlaps
from deft.workspace.pairs import pair_stems
from deft.workspace.pool_paths import resolve_pool_paths
from deft.workspace.rows import PASS, ImageLayout, read_table, resolve_images
from deft.workspace.sides import workspace_sides
from deft.workspace.training_spec import prove_spec, read_baseline_spec

BOARDS, PARTS = 20, 4
COLUMNS = Columns(board="board", defect="defect")
LAYOUT = ImageLayout(("Camera",), ".png")


class Source:
    """Folders and table as a user brings them: 20 boards of 4 parts, the first of each defective."""

    def __init__(self, root: Path, *, extension: str = ".png", lights: tuple[str, ...] = ("",)) -> None:
        self.golden, self.test, self.labels = root / "golden", root / "test", root / "labels.csv"
        rng = np.random.default_rng(0)
        rows = []
        for board in range(BOARDS):
            golden = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            for part in range(PARTS):
                name = f"b{board:02d}_p{part}"
                for light in lights:
                    tested = np.clip(golden.astype(int) + rng.integers(-9, 9, golden.shape), 0, 255)
                    suffix = f"_{light}" if light else ""
                    save(self.golden / f"{name}{suffix}{extension}", golden)
                    save(self.test / f"{name}{suffix}{extension}", tested.astype(np.uint8))
                bad = part == 0
                defect = ("scratch", "missing")[board % 2] if bad else ""
                rows.append((f"{name}{extension}", "NG" if bad else PASS, f"board{board:02d}", defect))
        self.table = pd.DataFrame(rows, columns=["image", "label", "board", "defect"])
        self.write()

    def write(self) -> None:
        self.table.to_csv(self.labels, index=False)

    def import_into(self, root: Path, **options: Any) -> Workspace:
        import_folders(self.golden, self.test, self.labels, root, **{"columns": COLUMNS, **options})
        return Workspace.at(root)

    def refused(self, root: Path, match: str, **options: Any) -> InputRefused:
        with pytest.raises(InputRefused, match=match) as refusal:
            self.import_into(root, **options)
        assert not root.exists()
        return refusal.value


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


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
    with pytest.raises(UsageError, match="no light"):
        source.import_into(place, lights=("C",))


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


# --- refusals --------------------------------------------------------------------------------


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


def test_too_few_defective_boards_are_refused_with_what_each_split_has(source: Source, place: Path) -> None:
    bad = source.table.label == "NG"
    source.table.loc[bad & (source.table.board > "board02"), ["label", "defect"]] = [PASS, ""]
    source.write()
    assert "good and 0 defective rows" in str(source.refused(place, "do not suffice"))


def test_a_label_that_is_pass_but_for_its_spelling_is_refused_with_its_row(
    source: Source, place: Path
) -> None:
    source.table.loc[1, "label"] = "Pass"
    source.write()
    source.refused(place, "row 3 ")


def test_a_broken_image_is_refused_before_anything_is_written(source: Source, place: Path) -> None:
    (source.test / "b05_p1.png").write_bytes(b"\x89PNG broken")
    source.refused(place, "cannot be read")


def test_an_empty_board_cell_is_refused(source: Source, place: Path) -> None:
    source.table.loc[4, "board"] = " "
    source.write()
    source.refused(place, "row 6: board is empty")


def test_missing_folders_and_empty_ones_are_refused(source: Source, place: Path) -> None:
    shutil.rmtree(source.golden)
    source.refused(place, "folder does not exist")
    source.golden.mkdir()
    source.refused(place, "holds no")


@pytest.mark.parametrize(
    "shares",
    [
        {"train": 0.5, "validation": 0.3, "kpi": 0.2},
        {"train": 0.0, "validation": 0.3, "kpi": 0.2},
        {"train": 0.1, "validation": 0.3, "kpi": 0.2, "test": 0.1},
    ],
)
def test_shares_that_leave_nothing_for_a_split_are_a_usage_error(
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
