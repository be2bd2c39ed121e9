"""The demo's workspace: complete, the same for the same seed, and worth a loop."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from deft.errors import StateConflict
from deft.workspace import demo
from deft.workspace.demo import draw_workspace
from deft.workspace.drawing import inspection
from deft.workspace.drawing.factory import SPLITS
from deft.workspace.image_columns import resolve_images
from deft.workspace.layout import Workspace
from deft.workspace.leakage import assert_disjoint, find_overlaps
from deft.workspace.pairs import pair_stems
from deft.workspace.pool_paths import resolve_pool_paths
from deft.workspace.rows import COLUMNS, PASS, ImageLayout, read_table
from deft.workspace.sides import workspace_sides
from deft.workspace.training_spec import TrainingSettings, prove_spec, read_baseline_spec, training_spec

LAYOUT = ImageLayout(("SolderLight",), ".jpg")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("drawn") / "workspace"
    draw_workspace(root, seed=3, quick=True)
    return Workspace.at(root)


@pytest.fixture(scope="module")
def provenance(drawn: Workspace) -> pd.DataFrame:
    return pd.read_csv(drawn.root / "provenance.csv", dtype=str, keep_default_na=False)


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "SPLITS", [split.scaled(0.03) for split in SPLITS])


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_every_table_has_fourteen_columns_and_all_its_images(drawn: Workspace) -> None:
    tables = (drawn.training_table, drawn.validation_table, drawn.kpi_table, drawn.holdout_table)
    for path in tables:
        table = read_table(path, images=LAYOUT)
        assert tuple(table.columns) == COLUMNS
        resolve_images(table, drawn.images, LAYOUT)
    resolve_pool_paths(read_table(drawn.mining_pool_table), drawn, LAYOUT)


def test_the_spec_resolves_every_table_where_the_workspace_finally_lies(drawn: Workspace) -> None:
    spec = read_baseline_spec(drawn)
    settings = TrainingSettings(epochs=1, batch_size=8, seed=1, num_gpus=0)
    prove_spec(spec)
    prove_spec(training_spec(spec, drawn, settings))
    assert str(drawn.root) in spec["dataset"]["classify"]["train_dataset"]["csv_path"]


def test_every_synthetic_pair_has_a_partner_and_a_defect_type_in_its_stem(drawn: Workspace) -> None:
    pairs = pair_stems(drawn.reconstructed_images, drawn.original_images)
    types = {pair.stem.split("+")[1].rsplit("_", 1)[0] for pair in pairs}
    assert len(pairs) > 90
    assert types == set(SPLITS[0].defects) | {"rotated", "insufficient", "polarity", "lifted"}


def test_every_drawn_defect_passes_the_visibility_floor(provenance: pd.DataFrame) -> None:
    defective = provenance[provenance.label != PASS]
    assert len(defective) > 300
    assert (defective.visible_pixels.astype(int) >= inspection.FLOOR_PIXELS).all()
    assert (defective.visible_contrast.astype(float) >= inspection.FLOOR_CONTRAST).all()


def test_every_split_has_its_own_boards(provenance: pd.DataFrame) -> None:
    assert (provenance.groupby("board")["split"].nunique() == 1).all()


def test_no_image_stands_on_two_sides(drawn: Workspace) -> None:
    assert_disjoint(find_overlaps(workspace_sides(drawn)))


def test_the_training_seed_lacks_kinds_lights_and_defects_that_kpi_and_pool_have(
    provenance: pd.DataFrame,
) -> None:
    seen = {
        split: {column: set(rows[column]) for column in ("kind", "condition", "label")}
        for split, rows in provenance.groupby("split")
    }
    assert {column: len(values) for column, values in seen["train"].items()} == {
        "kind": 3,
        "condition": 2,
        "label": 6,
    }
    for split in ("kpi", "pool"):
        assert all(seen["train"][column] < seen[split][column] for column in seen["train"])


def test_a_quick_workspace_keeps_splits_above_a_batch_and_a_quarter_of_the_pool_defective(
    drawn: Workspace,
) -> None:
    for path in (drawn.training_table, drawn.validation_table, drawn.kpi_table, drawn.holdout_table):
        assert len(read_table(path)) >= 96
    pool = read_table(drawn.mining_pool_table)
    assert (pool.label != PASS).mean() == pytest.approx(0.25, abs=0.01)


def test_provenance_says_who_drew_it_from_which_seed(drawn: Workspace) -> None:
    record = json.loads(drawn.provenance.read_text())
    assert (record["made_by"], record["seed"], record["quick"]) == ("deft demo", 3, True)
    assert record["counts"]["kpi"][PASS] == len(read_table(drawn.kpi_table).query("label == 'PASS'"))
    assert record["visibility"]["weakest"]["pixels"] >= record["visibility"]["floor"]["pixels"]


@pytest.mark.usefixtures("few_rows")
def test_the_same_seed_draws_the_same_bytes_and_another_seed_other_pictures(tmp_path: Path) -> None:
    place = tmp_path / "workspace"
    drawings = []
    for number, seed in enumerate((5, 5, 6)):
        draw_workspace(place, seed=seed)
        drawings.append(digests(place))
        place.rename(tmp_path / f"drawn{number}")
    first, again, other = drawings
    assert first == again
    assert not {v for k, v in first.items() if k.endswith(".jpg")} & set(other.values())


@pytest.mark.usefixtures("few_rows")
def test_a_folder_that_holds_anything_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(StateConflict, match="empty"):
        draw_workspace(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.usefixtures("few_rows")
def test_a_drawing_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(demo, "write_baseline_spec", fail)
    with pytest.raises(OSError, match="disk full"):
        draw_workspace(tmp_path / "workspace")
    assert list(tmp_path.iterdir()) == []
