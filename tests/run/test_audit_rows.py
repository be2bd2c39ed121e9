"""Rows: no swapped, dropped, doubled or leaking row agrees, however well it is sealed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from deft import files
from deft.loop import run_loop
from deft.workspace.image_digests import SPLITS, split_digests
from deft.workspace.layout import RunFolder
from deft.workspace.training_spec import read_baseline_spec
from forging import (
    copy_with_workspace,
    folder_of,
    refused,
    reseal,
    rewrite_csv,
)
from loop_fixtures import SILENT, new_run


@pytest.fixture
def run(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of a finished run, with its workspace, to tamper with."""
    return copy_with_workspace(finished, tmp_path)


# --- the pool and mining ---------------------------------------------------------------------


def test_counts_of_the_pool_are_counted_again(run):
    summary = folder_of(run, "iter1/anomalygen") / "ingest_summary.json"
    files.write_json(summary, {**files.read_json(summary), "real_rows": 9999})
    reseal(run)
    refused(run, "iter1/anomalygen summary real_rows", "9999")


def test_rows_added_to_the_pool_behind_the_plan_are_found(run):
    pool = run.synth_pool.source_parquet
    table = pd.read_parquet(pool)
    files.write_parquet(pool, pd.concat([table, table.head(1)], ignore_index=True))
    reseal(run)
    refused(run, "iter1/anomalygen rows of the pool")


def test_a_pool_image_changed_since_the_plan_is_found(run):
    picture = next(run.workspace.mining_pool.rglob("*.png"))
    picture.write_bytes(picture.read_bytes() + b"\0")
    refused(run, "iter1/anomalygen pool on disk")


def test_junk_in_place_of_a_parquet_file_is_refused(run):
    """H2: two bytes of junk passed as a parquet file."""
    files.write_text(folder_of(run, "iter1/data_mining") / "mined.parquet", "junk")
    reseal(run)
    refused(run, "iter1/data_mining artifacts", "mined.parquet")


def test_a_text_log_in_place_of_embeddings_is_refused(run):
    """H5: the text of a failed log passed as an embedding table."""
    folder = folder_of(run, "iter1/data_mining")
    files.write_text(folder / "target_embeddings.parquet", "Execution status: FAIL\n")
    reseal(run)
    refused(run, "iter1/data_mining artifacts", "target_embeddings.parquet")


def swap_mined_row(run: RunFolder, choose) -> None:
    """Replace the first mined row by another, in every file of the stage that names it."""
    folder = folder_of(run, "iter1/data_mining")
    pool = pd.read_parquet(run.synth_pool.source_parquet).set_index("filepath", drop=False)
    mined = pd.read_parquet(folder / "mined.parquet")["filepath"].tolist()
    old, new = mined[0], choose(mined, pool["filepath"].tolist())
    kept = [new, *mined[1:]]
    files.write_parquet(folder / "mined.parquet", pd.DataFrame({"filepath": kept}, dtype=object))
    neighbours = pd.read_parquet(folder / "neighbours.parquet")
    files.write_parquet(folder / "neighbours.parquet", neighbours.replace({"source_filepath": {old: new}}))
    if new in pool.index:
        table = pd.read_csv(folder / "mining_pool.csv", dtype=str, keep_default_na=False)
        files.write_csv(folder / "mining_pool.csv", pool.loc[kept, list(table.columns)])
    reseal(run)


def test_a_mined_row_swapped_for_one_that_is_no_neighbour_is_refused(run):
    swap_mined_row(run, lambda mined, pool: next(path for path in pool if path not in mined))
    refused(run, "iter1/data_mining mined rows", "mined.parquet")


def test_a_mined_row_from_outside_the_pool_is_refused(run):
    swap_mined_row(run, lambda mined, pool: "/elsewhere/kpi.png")
    refused(run, "iter1/data_mining mined row", "a row of the source pool", "/elsewhere/kpi.png")


def test_a_row_mined_twice_is_refused(run):
    swap_mined_row(run, lambda mined, pool: mined[1])
    refused(run, "iter1/data_mining mined row", "never mined before")


def test_a_kept_candidate_called_rejected_is_found(run):
    path = folder_of(run, "iter1/data_mining") / "neighbours.parquet"
    table = pd.read_parquet(path)
    files.write_parquet(path, table.assign(kept=~table["kept"]))
    reseal(run)
    refused(run, "iter1/data_mining candidates: kept of row 2", "neighbours.parquet")


def test_counts_of_candidates_are_counted_again(run):
    path = folder_of(run, "iter1/data_mining") / "knn_summary.csv"
    rewrite_csv(path, lambda table: table.assign(kept_count="77"))
    reseal(run)
    refused(run, "iter1/data_mining counts kept_count", "77")


def test_candidates_of_a_run_that_does_not_mine_are_found(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1, mining="none")
    run_loop(run, SILENT)
    path = folder_of(run, "iter1/data_mining") / "neighbours.parquet"
    row = {"target_filepath": "t", "source_filepath": "s", "rank": 1, "similarity": 1.0, "kept": True}
    files.write_parquet(path, pd.DataFrame([{**row, "reason": ""}]))
    reseal(run)
    refused(run, "iter1/data_mining candidates")


# --- the merge -------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["iter1", "iter2"])
def test_a_training_row_that_was_dropped_is_found(run, phase):
    for path in (run.phase(phase).combined_table, run.phase(phase).combined_provenance):
        rewrite_csv(path, lambda table: table.iloc[1:])
    reseal(run)
    refused(run, f"{phase}/data_merge combined rows", "number of rows", f"train_combined_{phase}.csv")


def test_a_row_dropped_from_a_copied_run_is_found_from_the_mined_rows(finished, tmp_path):
    alone = RunFolder(tmp_path / "archive" / "results" / finished.root.name)
    shutil.copytree(finished.root, alone.root)
    for path in (alone.phase("iter1").combined_table, alone.phase("iter1").combined_provenance):
        rewrite_csv(path, lambda table: table.iloc[:-1])
    reseal(alone)
    refused(alone, "iter1/data_merge combined rows")


def test_another_provenance_than_the_rows_have_is_found(run):
    path = run.phase("iter1").combined_provenance
    rewrite_csv(path, lambda table: table.assign(source="mining_pool"))
    reseal(run)
    refused(run, "iter1/data_merge provenance: source of row 2", "recorded mining_pool")


def approve_as_it_is(run: RunFolder) -> None:
    """Forge plan and approval too, so that the images of the workspace count as the agreed ones."""
    spec = read_baseline_spec(run.workspace)
    for split in ("train", "validation", "infer"):
        spec["dataset"]["classify"][f"{split}_dataset"]["images_dir"] = str(run.workspace.images)
    plan = files.read_json(run.plan)
    digests = {**plan["image_digests"], **split_digests(run.workspace, SPLITS, spec)}
    plan = {**plan, "image_digests": digests}
    files.write_json(run.plan, plan)
    record = files.read_json(run.approval)
    files.write_json(run.approval, {**record, "plan_sha256": files.sha256_of_record(plan)})
    reseal(run)


def test_a_training_image_with_the_content_of_a_kpi_image_is_refused(run):
    """H3: a merge report that admits 99 leaks was accepted; here the images are compared again."""
    pictures = [
        next((run.workspace.images / split).rglob("*.png")) for split in ("train/board0", "kpi/board0")
    ]
    with Image.open(pictures[1]) as picture:
        picture.save(pictures[0], compress_level=1)
    approve_as_it_is(run)
    refused(run, "iter1/data_merge leakage", "train row", "kpi row")


def test_a_merge_report_that_counts_otherwise_is_refused(run):
    """H3: the figures of the report are recomputed."""
    path = run.phase("iter1").merge_validation
    files.write_json(path, {**files.read_json(path), "train_val_leakage_overlap_count": 99})
    reseal(run)
    refused(run, "iter1/data_merge validation train_val_leakage_overlap_count", "recorded 99")


def test_a_warm_start_from_another_model_than_the_incumbent_is_refused(run):
    for path in (run.phase("iter1").training_spec, run.phase("iter1").train / "train_spec.yaml"):
        spec = files.read_yaml(path)
        spec["train"]["pretrained_model_path"] = "/elsewhere/model.pth"
        files.write_yaml(path, spec)
    reseal(run)
    refused(run, "iter1/data_merge warm start", "found /elsewhere/model.pth")


def test_a_routed_sample_that_was_dropped_is_found(run):
    queue = folder_of(run, "iter1/routing") / "mining_gaps.parquet"
    files.write_parquet(queue, pd.read_parquet(queue).iloc[1:])
    reseal(run)
    refused(run, "iter1/routing queue", "number of rows")
