"""Records against each other: no forgery of log, state, approval, manifest or note agrees (H1-H9)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from deft import files
from deft.errors import Corruption
from deft.run.audit import audit_run
from deft.run.manifests import MANIFEST
from deft.run.state import rebuild
from deft.workspace.layout import RunFolder
from forging import (
    change,
    copy_with_workspace,
    entries_of,
    folder_of,
    rechain,
    refused,
    reseal,
)
from loop_fixtures import new_run


@pytest.fixture
def run(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of a finished run, with its workspace, to tamper with."""
    return copy_with_workspace(finished, tmp_path)


# --- the records -----------------------------------------------------------------------------


def test_a_removed_log_line_breaks_the_chain(run):
    """H7: an update that was lost shows, whoever lost it."""
    lines = run.log.read_text().splitlines(keepends=True)
    files.write_text(run.log, "".join(lines[:4] + lines[5:]))
    with pytest.raises(Corruption, match="does not follow"):
        audit_run(run)


def test_a_removed_stage_breaks_the_order_even_with_a_new_chain(run):
    """H1: a stage out of its order is refused on reading too, not only on writing."""
    kept = [entry for entry in entries_of(run) if (entry["iter"], entry["stage"]) != ("iter1", "routing")]
    reseal(run, kept)
    refused(run, "iter1/anomalygen order", "out of order")


def test_a_run_that_starts_in_the_fifth_iteration_is_refused(run):
    """H1: iter5/routing as the first stage."""
    approval, *rest = entries_of(run)
    routing = next(entry for entry in rest if entry["stage"] == "routing")
    reseal(run, [approval, {**routing, "iter": "iter5"}], state=False)
    refused(run, "iter5/routing order")


def test_a_stage_before_any_approval_is_refused(run):
    """H8: nothing runs around the gate without the log showing it."""
    approval, first, *rest = entries_of(run)
    reseal(run, [first, approval, *rest])
    refused(run, "no approval before it")


def test_an_edited_state_is_named_with_the_key(run):
    state = files.read_json(run.state)
    state["iterations"]["baseline"]["far_pct"] = 0.0
    files.write_json(run.state, state)
    refused(run, "state iterations.baseline.far_pct", "deft_state.json", "found")


def test_a_state_that_says_the_same_in_other_bytes_is_not_what_the_fold_writes(run):
    files.write_text(run.state, json.dumps(files.read_json(run.state)))
    refused(run, "state's bytes")


@pytest.mark.parametrize("name", ["plan.json", "approval.json", "deft_state.json"])
def test_a_missing_or_damaged_record_is_named(run, name):
    (run.root / name).write_text("{")
    refused(run, name)
    (run.root / name).unlink()
    refused(run, name)


def test_a_plan_that_was_changed_after_its_approval_is_refused(run):
    plan = files.read_json(run.plan)
    plan["settings"]["num_epochs"]["value"] = 99
    files.write_json(run.plan, plan)
    refused(run, "approval plan_sha256", "approval.json")


def test_another_approval_than_the_logged_one_is_refused(run):
    record = files.read_json(run.approval)
    files.write_json(run.approval, {**record, "by": "terminal"})
    refused(run, "approval's line", "approval.json")


def test_a_forged_signature_is_refused_where_the_run_was_made(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    record = files.read_json(run.approval)
    files.write_json(run.approval, {**record, "by": "terminal"})
    reseal(run)
    refused(run, "approval's signature")


# --- manifests, inputs, notes ----------------------------------------------------------------


def test_a_changed_file_is_named_by_its_manifest(run):
    scores = folder_of(run, "baseline/evaluate") / "best_val" / "inference.csv"
    files.write_text(scores, scores.read_text().replace("PASS", "bridge", 1))
    refused(run, "changed", "baseline/inference/best_val/inference.csv", "found")


def test_a_manifest_forged_to_fit_a_changed_file_no_longer_fits_the_log(run):
    folder = folder_of(run, "baseline/evaluate")
    manifest = files.read_json(folder / MANIFEST)
    scores = folder / "best_val" / "inference.csv"
    files.write_text(scores, scores.read_text().replace("PASS", "bridge", 1))
    for item in manifest["files"]:
        item["sha256"] = files.sha256_of_file(folder / item["path"])
    files.write_json(folder / MANIFEST, manifest)
    refused(run, "baseline/evaluate manifest", "baseline/inference/manifest.json")


def test_a_stage_whose_folder_lies_elsewhere_is_refused(run):
    entries = entries_of(run)
    for entry in entries:
        if (entry["iter"], entry["stage"]) == ("iter1", "train"):
            entry["outcome"]["folder"] = "baseline/train"
    rechain(run, entries)
    rebuild(run)
    refused(run, "iter1/train folder", "baseline/train")


def test_a_timestamped_folder_has_a_timestamp(run):
    folder = folder_of(run, "baseline/rca")
    shutil.move(folder, folder.with_name("results"))
    name = f"baseline/rca_results/{folder.with_name('results').name}"
    entries = entries_of(run)
    for entry in entries:
        if entry["stage"] == "rca" and entry["iter"] == "baseline":
            entry["outcome"]["folder"] = name
    rechain(run, entries)
    rebuild(run)
    refused(run, "baseline/rca folder", name)


def test_a_manifest_that_is_gone_is_named(run):
    (folder_of(run, "baseline/train") / MANIFEST).unlink()
    refused(run, "baseline/train manifest", "no manifest")


def test_a_kpi_edited_in_the_log_alone_differs_from_the_manifest(run):
    entries = entries_of(run)
    for entry in entries:
        if entry["stage"] == "evaluate" and entry["iter"] == "baseline":
            entry["outcome"]["values"]["far_pct"] = 0.0
    rechain(run, entries)
    rebuild(run)
    refused(run, "baseline/evaluate outcome values.far_pct", "recorded 0.0")


def test_a_source_pool_that_was_swapped_behind_the_run_differs_from_what_mining_read(run):
    pool = run.synth_pool.source_parquet
    files.write_parquet(pool, pd.read_parquet(pool).iloc[::-1])
    refused(run, "iter1/data_mining input", "synth_pool/source_pool.parquet")


def test_an_input_other_than_the_plans_is_refused(run):
    name = "train/base/training_set.csv"
    change(run, "baseline/train", lambda entry: entry["outcome"]["inputs"].update({name: "0" * 64}))
    refused(run, "baseline/train input", name)


def test_an_input_that_is_nowhere_is_refused(run):
    name = "baseline/nowhere.parquet"
    change(run, "iter1/routing", lambda entry: entry["outcome"]["inputs"].update({name: "0" * 64}))
    refused(run, "iter1/routing input", name, "no such file")


def test_a_pool_that_is_gone_is_named(run):
    run.synth_pool.source_parquet.unlink()
    refused(run, "source_pool.parquet", "does not exist")


def test_a_note_without_what_it_must_say_is_refused_without_a_traceback(run):
    entries = entries_of(run)
    for entry in entries:
        if entry["stage"] == "spot_check":
            entry["outcome"] = {}
    reseal(run, entries)
    refused(run, "baseline/spot_check artifacts", "KeyError")


def test_a_tool_that_said_fail_did_not_pass(run):
    """H5: a log that ends in FAIL was accepted as evidence."""
    log = folder_of(run, "iter1/data_mining") / "embed_pool.log"
    files.write_text(log, "Execution status: PASS\nExecution status: FAIL\n")
    reseal(run)
    refused(run, "iter1/data_mining log", "embed_pool.log", "FAIL")


def test_verdicts_changed_after_they_were_logged_are_refused(run):
    verdicts = folder_of(run, "baseline/rca") / "verdicts.json"
    record = files.read_json(verdicts)
    files.write_json(verdicts, {**record, "samples": record["samples"][1:]})
    refused(run, "spot_check note", "verdicts.json")
    reseal(run)
    refused(run, "spot_check verdicts", "verdicts.json")
    verdicts.unlink()
    refused(run, "no such file")
