"""DeepPCB becomes a workspace: whole boards apart, conditions recorded, the same bytes for a seed."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from deeppcb_like import make_source
from PIL import Image

from deft.errors import InputRefused, StateConflict, UsageError
from deft.workspace.image_columns import resolve_images
from deft.workspace.importers.conditions import CONDITIONS
from deft.workspace.importers.deeppcb import SEED_CONDITIONS, import_deeppcb, quotas
from deft.workspace.layout import Workspace
from deft.workspace.leakage import assert_disjoint, find_overlaps
from deft.workspace.pairs import pair_stems
from deft.workspace.pool_paths import resolve_pool_paths
from deft.workspace.rows import PASS, ImageLayout, read_table
from deft.workspace.sides import workspace_sides
from deft.workspace.training_spec import prove_spec, read_baseline_spec

LAYOUT = ImageLayout(("Camera",), ".jpg")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def imported(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("imported") / "workspace"
    import_deeppcb(source, root, realistic=True, seed=1)
    return Workspace.at(root)


@pytest.fixture(scope="module")
def provenance(imported: Workspace) -> pd.DataFrame:
    return read_provenance(imported.root)


def read_provenance(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "provenance.csv", dtype=str, keep_default_na=False)


def import_into(source: Path, root: Path, **options: Any) -> dict[str, str]:
    """Import and return the digests of all files but the spec, which names the place."""
    import_deeppcb(source, root, **{"realistic": True, "seed": 1, **options})
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != "baseline_spec.yaml")
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def test_every_row_has_its_images_and_the_spec_finds_them(imported: Workspace) -> None:
    tables = (imported.training_table, imported.validation_table, imported.kpi_table, imported.holdout_table)
    for path in tables:
        table = read_table(path, images=LAYOUT)
        assert {PASS} < set(table.label)
        resolve_images(table, imported.images, LAYOUT)
    resolve_pool_paths(read_table(imported.mining_pool_table), imported, LAYOUT)
    prove_spec(read_baseline_spec(imported))


def test_no_board_stands_on_two_sides_and_groups_are_whole(provenance: pd.DataFrame) -> None:
    sides = provenance.assign(split=provenance.split.replace("synthetic", "pool"))
    assert (sides.groupby("board")["split"].nunique() == 1).all()
    assert set(sides[sides.split == "kpi"].group) == {"77000"}
    assert set(sides[sides.split == "holdout"].group) == {"50600"}
    assert set(sides[sides.split.isin(["train", "validation", "pool"])].group) == {"00041"}


def test_no_image_stands_on_two_sides(imported: Workspace) -> None:
    assert_disjoint(find_overlaps(workspace_sides(imported)))


def test_conditions_and_tolerances_are_recorded_for_every_row(provenance: pd.DataFrame) -> None:
    assert set(provenance.condition) <= set(CONDITIONS)
    assert (provenance[["rotation_deg", "scale", "etch", "noise"]] != "").all(axis=None)
    assert provenance.rotation_deg.nunique() > 20


def test_a_board_keeps_its_condition_and_the_seed_sees_the_first_lines_only(provenance: pd.DataFrame) -> None:
    rows = provenance[provenance.split != "synthetic"]
    assert (rows.groupby("board")["condition"].nunique() == 1).all()
    assert set(rows[rows.split == "train"].condition) <= set(SEED_CONDITIONS)


def test_the_training_seed_lacks_spurs_and_pinholes(imported: Workspace) -> None:
    labels = set(read_table(imported.training_table).label)
    assert labels.isdisjoint({"spur", "pinhole"})
    assert labels & {"open", "short", "mousebite", "copper"}


def test_golden_and_test_share_the_colours_of_the_board(imported: Workspace) -> None:
    table = read_table(imported.kpi_table)
    distances = []
    for row in table[table.label == PASS].to_dict("records"):
        golden, tested = (
            np.asarray(Image.open(paths[0])).reshape(-1, 3).mean(axis=0)
            for paths in (
                LAYOUT.golden_images(row, imported.images),
                LAYOUT.input_images(row, imported.images),
            )
        )
        distances.append(np.abs(golden / golden.sum() - tested / tested.sum()).max())
    assert np.median(distances) < 0.05


def test_synthetic_pairs_are_drawn_on_pool_boards_with_their_type_in_the_stem(
    imported: Workspace, provenance: pd.DataFrame
) -> None:
    pairs = pair_stems(imported.reconstructed_images, imported.original_images)
    synthetic = provenance[provenance.split == "synthetic"]
    assert {pair.stem for pair in pairs} == set(synthetic.component)
    assert set(synthetic.board) <= set(provenance[provenance.split == "pool"].board)
    for stem, label in zip(synthetic.component, synthetic.label, strict=True):
        assert stem.split("+")[1].rsplit("_", 1)[0] == label


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(source: Path, tmp_path: Path) -> None:
    first = import_into(source, tmp_path / "a")
    assert import_into(source, tmp_path / "b") == first
    assert import_into(source, tmp_path / "c", seed=2) != first


def test_without_conditions_the_crops_stay_black_and_white(source: Path, tmp_path: Path) -> None:
    import_into(source, tmp_path / "w", realistic=False)
    assert set(read_provenance(tmp_path / "w").condition) == {"binarised"}
    image = next((tmp_path / "w" / "kpi" / "images").rglob("*_Camera.jpg"))
    levels = np.asarray(Image.open(image).convert("L"))
    assert ((levels < 40) | (levels > 215)).mean() > 0.9


def test_a_production_like_pool_keeps_its_share_of_defects(source: Path, tmp_path: Path) -> None:
    import_into(source, tmp_path / "w", pool_defect_share=0.05)
    pool = read_table(Workspace(tmp_path / "w").mining_pool_table)
    assert (pool.label != PASS).mean() == pytest.approx(0.05, abs=0.02)
    pool_quota = quotas(0.03)[-1]
    assert (pool_quota.good, pool_quota.defective) == (2910, 90)


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"kpi_groups": ("99999",)}, "exists"),
        ({"kpi_groups": ()}, "exists"),
        ({"kpi_groups": ("50600",)}, "stands in the KPI set"),
        ({"holdout_groups": ("50600", "00041")}, "too few boards"),
    ],
)
def test_impossible_splits_are_refused_with_the_groups_found(
    source: Path, tmp_path: Path, options: dict[str, Any], fact: str
) -> None:
    with pytest.raises(InputRefused, match=fact):
        import_into(source, tmp_path / "w", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [1.5, 0.0, float("nan")])
def test_a_share_of_defects_that_is_no_fraction_is_a_usage_error(
    source: Path, tmp_path: Path, share: float
) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        import_into(source, tmp_path / "w", pool_defect_share=share)
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_that_holds_anything_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(StateConflict):
        import_into(source, tmp_path)


def test_real_boards_import(shared: Path, tmp_path: Path) -> None:
    """A dozen boards of the real data, through the whole importer."""
    real = shared / "data" / "deeppcb" / "PCBData"
    if not real.is_dir():
        pytest.skip("DeepPCB is absent")
    for group, count in {"77000": 3, "50600": 3, "44000": 8}.items():
        for template in sorted((real / f"group{group}" / group).glob("*_temp.jpg"))[:count]:
            identifier = template.name.removesuffix("_temp.jpg")
            for folder, name in (
                (group, f"{identifier}_temp.jpg"),
                (group, f"{identifier}_test.jpg"),
                (f"{group}_not", f"{identifier}.txt"),
            ):
                target = tmp_path / "source" / f"group{group}" / folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(real / f"group{group}" / folder / name, target)
    import_into(tmp_path / "source", tmp_path / "w")
    record = json.loads((tmp_path / "w" / "provenance.json").read_text())
    assert record["counts"]["kpi"][PASS] > 20
    assert sum(record["counts"]["kpi"].values()) > record["counts"]["kpi"][PASS] + 5
    assert_disjoint(find_overlaps(workspace_sides(Workspace.at(tmp_path / "w"))))
