"""One source pool from real rows and staged pairs: every path leads to an image, every change is seen."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deft import files
from deft.errors import InputRefused, StateConflict
from deft.workspace.image_columns import resolve_images
from deft.workspace.layout import SynthPool, Workspace
from deft.workspace.rows import COLUMNS, ImageLayout, read_table
from deft.workspace.source_pool import POOL_COLUMNS, build_source_pool, pool_digest, prestage

LAYOUT = ImageLayout(("Top",), ".png")
POOL = "augmentation/mining_pool"


def draw(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG" if path.suffix == ".png" else "JPEG")
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace of two real rows (folder-style) and one pair, with a spec of one light."""
    root = tmp_path / "ws"
    for seed, name in enumerate(("in/U0", "in/U1", "ok/U0", "ok/U1")):
        draw(root / POOL / "images" / f"{name}_Top.png", seed)
    draw(root / "augmentation/anomalygen/reconstructed_image/P+bridge_0.png", 10)
    draw(root / "augmentation/anomalygen/original_image/P+bridge_0.jpg", 11)
    files.write_yaml(
        root / "specs/baseline_spec.yaml",
        {"task": "classify", "dataset": {"classify": {"input_map": {"Top": 0}, "image_ext": ".png"}}},
    )
    write_pool(Workspace(root), "images/in,images/ok,PASS,U0", "images/in,images/ok,Open,U1")
    return Workspace.at(root)


def write_pool(workspace: Workspace, *lines: str) -> None:
    text = "\n".join(["input_path,golden_path,label,object_name", *lines])
    files.write_text(workspace.mining_pool_table, text + "\n")


def build(workspace: Workspace, layout: ImageLayout = LAYOUT) -> SynthPool:
    pool = workspace.results / "run_20260101_000000" / "synth_pool"
    build_source_pool(workspace, pool, layout)
    return SynthPool(pool)


# --- the pool


def test_an_absent_golden_of_a_real_row_is_refused(workspace: Workspace) -> None:
    """B2: the original never looked for the golden of a real row and prefixed it with kpi/images."""
    os.remove(workspace.mining_pool / "images/ok/U1_Top.png")
    with pytest.raises(InputRefused, match=r"row 3 golden_path `images/ok`: U1_Top.png is in none of"):
        build(workspace)


def test_the_pool_holds_real_and_synthetic_rows_whose_images_exist(workspace: Workspace) -> None:
    """H10: the head of the original wrote `filepath` relative to a root that the embedder does not know."""
    pool = build(workspace)
    table = files.read_parquet(pool.source_parquet)
    assert tuple(table.columns) == POOL_COLUMNS
    assert table["provenance"].tolist() == ["real", "real", "sdg"]
    assert table["label"].tolist() == ["PASS", "open", "bridge"]
    assert table["input_path"].tolist()[::2] == [
        f"{POOL}/images/in",
        "results/run_20260101_000000/synth_pool/images/synth_ng",
    ]
    for column in ("filepath", "golden_filepath"):
        assert all(Path(path).is_absolute() and Path(path).is_file() for path in table[column])
    resolve_images(table, workspace.root, LAYOUT)
    assert read_table(pool.source_table).equals(table)
    assert len(read_table(pool.synthetic_rows)) == 1
    assert not table[list(COLUMNS)].isna().any().any()


def test_a_defect_type_in_a_stem_reaches_the_pool(workspace: Workspace) -> None:
    """B3: the original forced the label NG on every pair."""
    manifest = files.read_json(build(workspace).manifest)
    assert manifest["labels"] == {"PASS": 1, "bridge": 1, "open": 1}


def test_the_light_that_is_staged_is_the_light_that_is_named(workspace: Workspace) -> None:
    """B4: the original staged for `--light` and wrote `_SolderLight` into the table: no such file."""
    manifest = prestage(workspace.root, workspace.results / "r", light="Top", image_ext=".png")
    table = read_table(workspace.results / "r/synth_pool/source_pool.csv")
    assert all(path.endswith("_Top.png") and Path(path).is_file() for path in table["filepath"])
    assert manifest["counts"]["total_rows"] == 3


def test_the_manifest_has_counts_a_digest_and_only_relative_paths(workspace: Workspace) -> None:
    pool = build(workspace)
    manifest = files.read_json(pool.manifest)
    assert manifest["schema_version"] == 2
    assert manifest["counts"] == {
        "real_rows": 2,
        "sdg_rows": 1,
        "total_rows": 3,
        "rows_of_repeated_content": 0,
    }
    assert manifest["digest"] == pool_digest(workspace)
    assert str(workspace.root) not in json.dumps(manifest)
    assert (pool.root / manifest["ng_dir"]).is_dir()
    assert (pool.root / manifest["workspace"]).resolve() == workspace.root


def test_rows_of_repeated_content_are_kept_and_counted(workspace: Workspace) -> None:
    draw(workspace.mining_pool / "images/in/U2_Top.png", 0)
    draw(workspace.mining_pool / "images/ok/U2_Top.png", 9)
    write_pool(workspace, *(f"images/in,images/ok,PASS,U{n}" for n in (0, 1, 2, 2)))
    counts = files.read_json(build(workspace).manifest)["counts"]
    assert (counts["total_rows"], counts["rows_of_repeated_content"]) == (5, 2)


def test_a_pool_built_aside_names_its_final_place(workspace: Workspace) -> None:
    final = workspace.results / "run_20260101_000000" / "synth_pool"
    attempt = final.with_name("synth_pool.attempt")
    build_source_pool(workspace, attempt, LAYOUT, final=final)
    attempt.rename(final)
    table = read_table(final / "source_pool.csv")
    assert all(Path(path).is_file() for path in [*table["filepath"], *table["golden_filepath"]])
    assert "attempt" not in (final / "source_pool.csv").read_text()


def test_two_pools_of_one_workspace_are_equal_to_the_byte(workspace: Workspace, tmp_path: Path) -> None:
    final = workspace.results / "run_20260101_000000" / "synth_pool"
    for name in ("one", "two"):
        build_source_pool(workspace, tmp_path / name, LAYOUT, final=final)
    one, two = (
        {p.name: files.sha256_of_file(p) for p in files.files_below(tmp_path / n)} for n in ("one", "two")
    )
    assert one == two


def test_a_pool_outside_the_workspace_is_named_by_absolute_paths(
    workspace: Workspace, tmp_path: Path
) -> None:
    prestage(workspace.root, tmp_path / "elsewhere", light="Top", image_ext="png")
    table = read_table(tmp_path / "elsewhere/synth_pool/source_pool.csv")
    assert table["input_path"].iloc[-1] == str(tmp_path / "elsewhere/synth_pool/images/synth_ng")
    resolve_images(table.assign(golden_path=table["input_path"]).tail(1), tmp_path / "elsewhere", LAYOUT)
    with pytest.raises(InputRefused, match="lie outside images_dir"):
        resolve_images(table, workspace.root, LAYOUT)


@pytest.mark.parametrize("missing", ["table", "pairs", "rows"])
def test_without_a_pool_table_rows_or_pairs_there_is_no_pool(workspace: Workspace, missing: str) -> None:
    if missing == "table":
        workspace.mining_pool_table.unlink()
    elif missing == "rows":
        write_pool(workspace)
    else:
        next(workspace.original_images.iterdir()).unlink()
    with pytest.raises(InputRefused):
        build(workspace)
    assert not workspace.results.exists()


# --- digest

CHANGES: dict[str, Callable[[Workspace], object]] = {
    "image": lambda ws: draw(ws.mining_pool / "images/in/U0_Top.png", 99),
    "golden": lambda ws: draw(ws.mining_pool / "images/ok/U0_Top.png", 99),
    "table": lambda ws: write_pool(ws, "images/in,images/ok,ng,U0", "images/in,images/ok,Open,U1"),
    "pair": lambda ws: draw(ws.reconstructed_images / "P+bridge_0.png", 99),
    "original": lambda ws: draw(ws.original_images / "P+bridge_0.jpg", 99),
    "new pair": lambda ws: [
        draw(folder / "Q.png", 1) for folder in (ws.reconstructed_images, ws.original_images)
    ],
    "renamed pair": lambda ws: [
        next(folder.iterdir()).rename(folder / "R.png")
        for folder in (ws.reconstructed_images, ws.original_images)
    ],
    "defect types": lambda ws: files.write_text(ws.defect_spec, '{"defect_type": "bridge"}\n'),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_of_the_pool_changes_its_digest(workspace: Workspace, change: str) -> None:
    before = pool_digest(workspace)
    CHANGES[change](workspace)
    assert pool_digest(workspace) != before


def test_a_change_that_keeps_size_and_time_is_seen(workspace: Workspace) -> None:
    path = workspace.mining_pool / "images/in/U0_Top.png"
    before, stat, content = pool_digest(workspace), path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert pool_digest(workspace) != before


def test_the_digest_is_of_content_not_of_place_or_time(workspace: Workspace, tmp_path: Path) -> None:
    before = pool_digest(workspace)
    os.utime(workspace.mining_pool_table, (0, 0))
    (workspace.mining_pool / "images/in/.DS_Store").touch()
    workspace.root.rename(tmp_path / "moved")
    assert pool_digest(Workspace.at(tmp_path / "moved")) == before


def test_an_image_that_went_away_is_refused_by_name(workspace: Workspace) -> None:
    (workspace.mining_pool / "images/in/U1_Top.png").unlink()
    with pytest.raises(InputRefused, match=r"U1_Top\.png"):
        pool_digest(workspace)


# --- by hand


def prestage_by_hand(workspace: Workspace, **flags: bool) -> dict[str, object]:
    return prestage(workspace.root, workspace.results / "r", light="Top", image_ext=".png", **flags)


def test_a_failed_attempt_does_not_block_the_next(workspace: Workspace) -> None:
    """B5: the original made the folder first, so after a crash it refused until `--force` deleted all."""
    broken = workspace.reconstructed_images / "P+bridge_0.png"
    content = broken.read_bytes()
    broken.write_bytes(content[:40])
    with pytest.raises(InputRefused):
        prestage_by_hand(workspace)
    assert not (workspace.results / "r/synth_pool").exists()
    broken.write_bytes(content)
    assert prestage_by_hand(workspace)["counts"]["sdg_rows"] == 1
    assert [path.name for path in (workspace.results / "r").iterdir()] == ["synth_pool"]


def test_a_finished_pool_is_kept_unless_forced(workspace: Workspace) -> None:
    """B5: here `--force` loses the old pool only once the new one is complete."""
    first = prestage_by_hand(workspace)
    with pytest.raises(StateConflict, match="--force"):
        prestage_by_hand(workspace)
    write_pool(workspace, "images/in,images/ok,PASS,U0")
    assert prestage_by_hand(workspace, force=True)["digest"] != first["digest"]
    write_pool(workspace)
    with pytest.raises(InputRefused):
        prestage_by_hand(workspace, force=True)
    assert len(read_table(workspace.results / "r/synth_pool/source_pool.csv")) == 2
