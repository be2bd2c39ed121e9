"""Issue 4 on leakage and on mined history, sentence by sentence: one adversarial test each."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deft import files
from deft.errors import LeakageFound
from deft.loop import run_loop
from deft.preflight.inspect import inspect_workspace
from deft.report.render import render_report
from deft.run.log import read
from deft.stages.data_merge import DataMerge
from deft.stages.data_mining import require_new_content
from deft.workspace.layout import Workspace
from deft.workspace.rows import ImageLayout, read_table, write_table
from deft.workspace.training_spec import read_baseline_spec
from loop_fixtures import SILENT, new_run
from tiny_workspace import LIGHT, make_workspace

Figure = Callable[[str, str, str], None]
SPLITS = ("train", "validation", "kpi", "holdout", "pool")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "workspace")


def table_of(workspace: Workspace, split: str) -> Path:
    return {
        "train": workspace.training_table,
        "validation": workspace.validation_table,
        "kpi": workspace.kpi_table,
        "holdout": workspace.holdout_table,
        "pool": workspace.mining_pool_table,
    }[split]


def images_of(workspace: Workspace, split: str) -> Path:
    return workspace.mining_pool / "images" if split == "pool" else workspace.root / "kpi" / "images"


def picture(workspace: Workspace, split: str, number: int, column: str = "input_path") -> Path:
    row = read_table(table_of(workspace, split)).iloc[number]
    return images_of(workspace, split) / row[column] / f"{row['object_name']}_{LIGHT}.png"


def edit_row(workspace: Workspace, split: str, number: int, **cells: str) -> None:
    table = read_table(table_of(workspace, split))
    for name, cell in cells.items():
        table.loc[number, name] = cell
    write_table(table_of(workspace, split), table)


# --- the same content on both sides is a hard stop -----------------------------------------------------


PAIRS = [(one, two) for i, one in enumerate(SPLITS) for two in SPLITS[i + 1 :]]


def test_each_pair_of_sides_is_compared_at_pre_flight(tmp_path: Path, figure: Figure) -> None:
    """The original compared train with validation alone, and those by the spelling of their paths."""
    stopped = 0
    for number, (one, two) in enumerate(PAIRS):
        workspace = make_workspace(tmp_path / str(number))
        shutil.copy(picture(workspace, one, 1), picture(workspace, two, 2))
        with pytest.raises(LeakageFound, match=f"{one} row 3 .* and {two} row 4"):
            inspect_workspace(workspace)
        stopped += 1
    figure(
        "leakage planted between each two sides, found at pre-flight",
        "10 of 10",
        f"{stopped} of {len(PAIRS)}",
    )


def test_the_same_pixels_in_another_file_are_the_same_image(workspace: Workspace) -> None:
    with Image.open(picture(workspace, "kpi", 1)) as pixels:
        pixels.save(picture(workspace, "train", 1), compress_level=1, pnginfo=None)
    assert picture(workspace, "kpi", 1).read_bytes() != picture(workspace, "train", 1).read_bytes()
    with pytest.raises(LeakageFound, match="same pixels"):
        inspect_workspace(workspace)


def test_a_generated_picture_that_is_a_test_picture_is_a_leak_before_anything_runs(
    workspace: Workspace,
) -> None:
    generated = min(workspace.reconstructed_images.iterdir())
    shutil.copy(picture(workspace, "kpi", 40), generated)
    with pytest.raises(LeakageFound, match=rf"kpi row 42 .* and pool row \d+ .*{generated.stem[:2]}"):
        inspect_workspace(workspace)


# --- no spelling can hide one --------------------------------------------------------------------------


def hidden_by_prefix(workspace: Workspace) -> dict[str, str]:
    return {"input_path": f"./{read_table(workspace.kpi_table).iloc[1]['input_path']}"}


def hidden_by_case(workspace: Workspace) -> dict[str, str]:
    upper = images_of(workspace, "train") / "KPI"
    shutil.copytree(images_of(workspace, "kpi") / "kpi", upper)
    return {"input_path": read_table(workspace.kpi_table).iloc[1]["input_path"].replace("kpi", "KPI")}


def hidden_by_symlink(workspace: Workspace) -> dict[str, str]:
    os.symlink(images_of(workspace, "kpi") / "kpi", images_of(workspace, "train") / "elsewhere")
    return {"input_path": read_table(workspace.kpi_table).iloc[1]["input_path"].replace("kpi", "elsewhere")}


def hidden_by_absolute_path(workspace: Workspace) -> dict[str, str]:
    return {"input_path": str(picture(workspace, "kpi", 1).parent)}


def hidden_by_empty_board_name(workspace: Workspace) -> dict[str, str]:
    return {"input_path": read_table(workspace.kpi_table).iloc[1]["input_path"], "boardname": ""}


def hidden_by_another_label(workspace: Workspace) -> dict[str, str]:
    return {"input_path": read_table(workspace.kpi_table).iloc[1]["input_path"], "label": "bridge"}


HIDINGS = (
    hidden_by_prefix,
    hidden_by_case,
    hidden_by_symlink,
    hidden_by_absolute_path,
    hidden_by_empty_board_name,
    hidden_by_another_label,
)


def test_no_spelling_of_a_path_hides_a_leak(tmp_path: Path, figure: Figure) -> None:
    """B10: prefix, label case and an empty board name each made the original answer "ok", overlap 0."""
    found = 0
    for number, hide in enumerate(HIDINGS):
        workspace = make_workspace(tmp_path / str(number))
        name = read_table(workspace.kpi_table).iloc[1]["object_name"]
        edit_row(workspace, "train", 1, object_name=name, **hide(workspace))
        with pytest.raises(LeakageFound):
            inspect_workspace(workspace)
        found += 1
    what = "a leak hidden by prefix, case, symlink, absolute path, board name, label"
    figure(what, "6 of 6 found", f"{found} of {len(HIDINGS)} found")


# --- what is no leak -----------------------------------------------------------------------------------


def test_goldens_are_shared_between_sides_and_a_crop_that_equals_its_golden_is_counted(
    workspace: Workspace,
) -> None:
    for split, number in (("train", 0), ("kpi", 0)):
        golden = picture(workspace, split, number, "golden_path")
        shutil.copy(picture(workspace, "validation", 0, "golden_path"), golden)
        shutil.copy(golden, picture(workspace, split, number))
    report = inspect_workspace(workspace).leakage
    assert (len(report.identical), len(report.trivial)) == (0, 1)
    assert "1 crop(s) equal to their own golden" in report.sentences()[0]


def test_a_crop_that_equals_its_golden_on_one_side_only_is_a_leak(workspace: Workspace) -> None:
    """Who makes the golden of the training row equal to the copied test image hides nothing."""
    shutil.copy(picture(workspace, "kpi", 40), picture(workspace, "train", 0))
    shutil.copy(picture(workspace, "kpi", 40), picture(workspace, "train", 0, "golden_path"))
    with pytest.raises(LeakageFound):
        inspect_workspace(workspace)


def drawn(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 215, (6, 6, 3), dtype=np.uint8))
    return coarse.resize((48, 48), Image.Resampling.BICUBIC)


def lossy(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


def test_a_lossy_copy_is_reported_and_never_stops_or_drops_a_row(workspace: Workspace) -> None:
    drawn(1).save(picture(workspace, "kpi", 1))
    lossy(drawn(1)).save(picture(workspace, "train", 1))
    rows = len(read_table(workspace.training_table))
    inspection = inspect_workspace(workspace)
    assert len(inspection.leakage.lossy) == 1
    assert "likely lossy copies across sides (kept)" in " ".join(inspection.leakage.sentences())
    assert len(inspection.tables["train"]) == rows


@pytest.mark.parametrize("what", ["label", "golden"])
def test_a_copy_under_another_label_is_reported_and_a_golden_is_no_copy(
    workspace: Workspace, what: str
) -> None:
    drawn(2).save(picture(workspace, "kpi", 1))
    if what == "label":
        assert read_table(workspace.training_table).iloc[24]["label"] == "bridge"
        lossy(drawn(2)).save(picture(workspace, "train", 24))
    else:
        lossy(drawn(2)).save(picture(workspace, "train", 1, "golden_path"))
    kinds = [overlap.kind for overlap in inspect_workspace(workspace).leakage.lossy]
    assert kinds == (["likely copy under another label"] if what == "label" else [])


# --- after mining and after the merge ------------------------------------------------------------------


@pytest.fixture
def mined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A finished run, and the context of its first iteration's mining."""
    from deft.run.state import fold
    from deft.stages.base import StageContext

    run, stub = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    plan = files.read_json(run.plan)
    return StageContext(run, plan, fold(plan, read(run.log)), run.phase("iter1"), stub, SILENT)


def first_mined(context: Any) -> tuple[pd.DataFrame, Path]:
    rows = read_table(context.phase.mining_filter / "mining_pool.csv")
    layout = ImageLayout.from_spec(read_baseline_spec(context.run.workspace))
    return rows, layout.input_images(rows.iloc[0], context.run.workspace.root)[0]


@pytest.mark.parametrize("split", ["train", "validation", "kpi", "holdout"])
def test_what_was_mined_is_compared_with_every_side_after_mining(mined: Any, split: str) -> None:
    rows, image = first_mined(mined)
    assert require_new_content(mined, rows).identical == []
    image.unlink()
    shutil.copy(picture(mined.run.workspace, split, 3), image)
    with pytest.raises(LeakageFound, match=f"{split} row 5 .* and mined row 2"):
        require_new_content(mined, rows)


@pytest.mark.parametrize("split", ["validation", "kpi", "holdout"])
def test_the_combined_table_is_compared_after_the_merge(mined: Any, split: str, tmp_path: Path) -> None:
    _, image = first_mined(mined)
    image.unlink()
    shutil.copy(picture(mined.run.workspace, split, 3), image)
    with pytest.raises(LeakageFound, match=rf"train row \d+ .* and {split} row 5"):
        DataMerge().work(mined, tmp_path / "attempt")
    assert not (tmp_path / "attempt").exists()


# --- mined history -------------------------------------------------------------------------------------


def test_no_row_is_mined_twice_and_nothing_new_ends_the_loop_without_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """A pool of a few rows is used up: the original retrained on the same rows again."""
    sizes = {"pool": (4, 1)}
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=6, top_k_per_target=5, sizes=sizes)
    run_loop(run, SILENT)
    entries = read(run.log)
    tables = [files.read_parquet(path) for path in sorted(run.root.glob("iter*/mining_filter/mined.parquet"))]
    mined = [path for table in tables for path in table["filepath"]]
    trained = [entry["iter"] for entry in entries if entry["stage"] == "train"]
    assert len(set(mined)) == len(mined) > 0
    assert len(tables[-1]) == 0
    assert [entry["stage"] for entry in entries[-2:]] == ["data_mining", "loop_stop"]
    assert f"iter{len(tables)}" not in trained
    assert files.read_json(run.state)["stop_reason"] == "nothing_new"
    events = [event for entry in entries for event in entry["outcome"].get("events", [])]
    page = render_report(run).read_text()
    assert any(event.startswith("mining yield fell from") for event in events)
    assert any(event.startswith("no row was mined that is labelled") for event in events)
    unsaid = [event for event in events if event not in page]
    assert unsaid == []
    retrained = trained.count(f"iter{len(tables)}")
    figure(
        "rows mined twice; trainings on nothing new; events of mining missing from the report",
        "0; 0; none",
        f"{len(mined) - len(set(mined))}; {retrained}; {len(unsaid)} of {len(events)}",
    )
