"""The audit: an honest run agrees wherever it lies; no forgery of the teardown (H1-H9) does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from deft import files
from deft.errors import Corruption, RunBusy
from deft.loop import run_loop
from deft.run.audit import audit_run
from deft.run.audit_evidence import Tally, first_difference
from deft.run.clean import remove_checkpoints, superfluous_checkpoints
from deft.run.lock import RunLock
from deft.run.log import LoopLog, read
from deft.run.manifests import MANIFEST
from deft.run.state import rebuild
from deft.workspace.layout import RunFolder
from forging import change, copy_with_workspace, entries_of, entry_of, folder_of, rechain, reseal
from loop_fixtures import SILENT, new_run, open_approved_run, use_stub
from stub_platform import StubPlatform
from tiny_workspace import make_workspace


@pytest.fixture
def run(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of a finished run, with its workspace, to tamper with."""
    return copy_with_workspace(finished, tmp_path)


def refused(run: RunFolder, *words: str) -> str:
    """Return the message of the audit, which must name each of these words."""
    with pytest.raises(Corruption) as caught:
        audit_run(run)
    message = caught.value.message()
    assert [word for word in words if word not in message] == []
    assert caught.value.hint
    return message


def rewrite_csv(path: Path, edit) -> None:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    files.write_csv(path, edit(table))


# --- what agrees -----------------------------------------------------------------------------


def test_an_honest_run_agrees_and_the_audit_writes_nothing(finished):
    before = {path: path.read_bytes() for path in files.files_below(finished.root)}
    record = audit_run(finished)
    assert record["status"] == "agrees"
    assert record["stages"] == 18
    assert record["checked"] > 300
    assert {path: path.read_bytes() for path in files.files_below(finished.root)} == before


def test_a_careful_reseal_of_an_honest_run_still_agrees(run):
    reseal(run)
    assert audit_run(run)["status"] == "agrees"


def test_a_run_copied_with_its_workspace_agrees_but_for_the_signature(run):
    left = audit_run(run)["not_checked"]
    assert len(left) == 1
    assert left[0].startswith("signature of the approval")


def test_a_run_folder_copied_alone_agrees_and_says_what_it_could_not_check(finished, tmp_path):
    alone = RunFolder(tmp_path / "archive" / "results" / finished.root.name)
    shutil.copytree(finished.root, alone.root)
    record = audit_run(alone)
    assert record["status"] == "agrees"
    assert any("workspace" in sentence for sentence in record["not_checked"])


def test_an_input_that_was_changed_after_the_run_is_named_as_not_checked(run):
    rewrite_csv(run.workspace.kpi_table, lambda table: table.iloc[::-1])
    record = audit_run(run)
    assert record["status"] == "agrees"
    assert any("kpi/testing_set.csv" in sentence for sentence in record["not_checked"])


@pytest.mark.parametrize("mining", ["random", "none"])
def test_the_control_arms_agree_too(tmp_path, monkeypatch, mining):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1, mining=mining)
    run_loop(run, SILENT)
    assert audit_run(run)["status"] == "agrees"


def test_an_unfinished_run_agrees_up_to_its_last_line(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    assert audit_run(run)["stages"] == 0
    with pytest.raises(KeyboardInterrupt):
        run_loop(run, SILENT, after_stage=_interrupt_after("rca"))
    record = audit_run(run)
    assert (record["stages"], record["not_checked"]) == (3, [])


def _interrupt_after(stage: str):
    def look(state) -> None:
        if stage in state["iterations"]["baseline"]["stages"]:
            raise KeyboardInterrupt

    return look


def test_checkpoints_that_clean_removed_are_no_disagreement_but_others_are(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    surplus = superfluous_checkpoints(run)
    assert surplus
    remove_checkpoints(run, surplus)
    assert audit_run(run)["status"] == "agrees"
    other = next(run.phase("baseline").train.glob("*.pth"))
    other.unlink()
    refused(run, other.name, "gone")


def test_a_run_with_a_torn_line_and_a_failed_attempt_behind_it_agrees(tmp_path, monkeypatch):
    """H9: an error followed by ok counts only because the second attempt's artifacts are redone."""
    run, stub = new_run(tmp_path, monkeypatch, max_iterations=1)
    faults = iter([OSError("disk"), None, None])

    def fail(call):
        fault = next(faults, None)
        if fault:
            raise fault

    stub.before = fail
    with pytest.raises(OSError, match="disk"):
        run_loop(run, SILENT)
    with open(run.log, "ab") as stream:
        stream.write(b'{"seq": 99, "ts"')
    run_loop(run, SILENT)
    assert [entry["kind"] for entry in read(run.log)].count("recovered") == 1
    assert entry_of(run, "baseline/train")["attempt"] == 2
    assert audit_run(run)["status"] == "agrees"
    kept = [entry for entry in entries_of(run) if entry["status"] == "ok"]
    reseal(run, kept)
    refused(run, "baseline/train attempt", "0 failures")


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


# --- training --------------------------------------------------------------------------------


def test_an_old_checkpoint_under_a_new_name_is_no_training(run):
    """H6: a file copied into the phase and dated back was accepted as its trained checkpoint."""
    best = sorted(run.phase("iter1").train.glob("*.pth"))[-1]
    shutil.copyfile(sorted(run.phase("baseline").train.glob("*.pth"))[-1], best)
    reseal(run)
    refused(run, "iter1/train checkpoint", best.name, "a copy of baseline/train/")


def test_a_link_is_no_checkpoint_of_the_phase(run, tmp_path):
    best = sorted(run.phase("iter1").train.glob("*.pth"))[-1]
    (tmp_path / "elsewhere.pth").write_bytes(best.read_bytes())
    best.unlink()
    best.symlink_to(tmp_path / "elsewhere.pth")
    refused(run, "iter1/train", best.name)


def test_a_training_without_a_validated_epoch_did_not_happen(run):
    """H4: a run was forged complete that never trained."""
    files.write_text(run.phase("iter1").train / "status.json", "{}\n")
    reseal(run)
    refused(run, "iter1/train validated epochs", "status.json", "none")


def test_a_better_validation_loss_than_the_status_file_says_is_refused(run):
    change(run, "iter1/train", lambda entry: entry["outcome"]["values"].update(val_loss=1e-6))
    refused(run, "iter1/train val_loss", "recorded 1e-06")


@pytest.mark.parametrize(
    ("phase", "edit", "word"),
    [
        ("baseline", lambda spec: spec["train"].update(num_epochs=99), "spec num_epochs"),
        ("baseline", lambda spec: spec["train"].update(pretrained_model_path="/x.pth"), "warm start"),
        ("baseline", lambda spec: spec["train"].update(resume_training_checkpoint_path="/x"), "resumed"),
        ("iter1", lambda spec: spec["train"].update(num_epochs=99), "the merge's against the training's"),
    ],
)
def test_a_training_with_another_spec_than_the_agreed_one_is_refused(run, phase, edit, word):
    path = run.phase(phase).train / "train_spec.yaml"
    spec = files.read_yaml(path)
    edit(spec)
    files.write_yaml(path, spec)
    reseal(run)
    refused(run, f"{phase}/train", word, "train_spec.yaml")


# --- evaluation ------------------------------------------------------------------------------


def test_an_edited_score_no_longer_gives_the_recorded_figures(run):
    for kind in ("best_val", "latest"):
        path = folder_of(run, "baseline/evaluate") / kind / "inference.csv"
        rewrite_csv(path, lambda table: table.assign(siamese_score=["0.99", *table["siamese_score"][1:]]))
    reseal(run)
    refused(run, "baseline/evaluate figures", "best_val/kpi.json")


def test_a_figure_that_no_score_supports_is_refused_although_log_manifest_and_state_agree(run):
    """H4: a hand-written metric result completed a run."""
    change(run, "baseline/evaluate", lambda entry: entry["outcome"]["values"].update(far_pct=0.0))
    refused(run, "baseline/evaluate far_pct", "recorded 0.0", "found")


def test_a_target_said_to_be_met_is_measured_again(run):
    entries = entries_of(run)
    met = next(entry for entry in entries if entry["stage"] == "evaluate")
    met["outcome"]["values"]["target_met"] = True
    kept = entries[: met["seq"]]
    stop = {**entry_of(run, "iter2/loop_stop"), "iter": "baseline"}
    stop["outcome"]["values"] = {"stop_reason": "target_met"}
    reseal(run, [*kept, stop])
    refused(run, "baseline/evaluate target_met", "recorded True", "found False")


def test_a_promotion_against_the_rule_is_refused(run):
    name = next(
        entry["iter"]
        for entry in entries_of(run)
        if entry["stage"] == "evaluate" and entry["iter"] != "baseline"
    )
    promoted = entry_of(run, f"{name}/evaluate")["outcome"]["values"]["promoted"]

    def turn(entry):
        values = entry["outcome"]["values"]
        values["promoted"] = not promoted
        values.pop("incumbent", None)
        if not promoted:
            values["incumbent"] = name

    change(run, f"{name}/evaluate", turn)
    refused(run, f"{name}/evaluate", "promoted")


def test_a_scored_table_without_the_hard_rows_is_refused(run):
    for kind in ("best_val", "latest"):
        rewrite_csv(
            folder_of(run, "baseline/evaluate") / kind / "inference.csv", lambda table: table.iloc[1:]
        )
    reseal(run)
    refused(run, "baseline/evaluate rows of testing_set.csv", "number of rows")


def test_other_scores_under_the_name_of_the_latest_checkpoint_are_refused(run):
    path = folder_of(run, "baseline/evaluate") / "latest" / "inference.csv"
    rewrite_csv(path, lambda table: table.assign(siamese_score="0.5"))
    reseal(run)
    refused(run, "baseline/evaluate copied scores", "latest/inference.csv")


def test_the_latest_checkpoint_is_judged_by_its_own_scores(tmp_path, monkeypatch):
    use_stub(monkeypatch, StubPlatform(losses=(0.5, 1.0)))
    run = open_approved_run(make_workspace(tmp_path / "workspace"), max_iterations=1)
    run_loop(run, SILENT)
    trained, chosen = (
        entry_of(run, f"baseline/{name}")["outcome"]["values"] for name in ("train", "evaluate")
    )
    assert chosen["best_ckpt_path"] != trained["latest_ckpt_path"]
    assert audit_run(run)["status"] == "agrees"
    change(run, "baseline/evaluate", lambda entry: entry["outcome"]["values"].update(best_ckpt_kind="latest"))
    refused(run, "baseline/evaluate best_ckpt_kind", "recorded latest, found best_val")


# --- gap analysis and routing ----------------------------------------------------------------


def test_a_weak_sample_left_out_of_the_gaps_is_found(run):
    gaps = folder_of(run, "baseline/rca") / "kpi_gaps.parquet"
    files.write_parquet(gaps, pd.read_parquet(gaps).iloc[1:])
    reseal(run)
    refused(run, "baseline/rca gaps", "number of rows")


def test_a_weakness_that_does_not_follow_from_the_score_is_found(run):
    gaps = folder_of(run, "baseline/rca") / "kpi_gaps.parquet"
    table = pd.read_parquet(gaps)
    files.write_parquet(gaps, table.assign(weakness=table["weakness"] + 1))
    reseal(run)
    refused(run, "baseline/rca gaps: weakness of row 2", "kpi_gaps.parquet")


def test_another_threshold_file_is_found(run):
    files.write_text(folder_of(run, "baseline/rca") / "threshold.txt", "0.123")
    reseal(run)
    refused(run, "baseline/rca threshold", "threshold.txt", "0.123")


def test_a_gap_analysis_of_another_model_is_found(run):
    path = folder_of(run, "iter1/rca") / "vcn_aoi_spec.yaml"
    files.write_yaml(path, {**files.read_yaml(path), "inference_results_dir": "/elsewhere"})
    reseal(run)
    refused(run, "iter1/rca spec inference_results_dir")


def test_a_routed_sample_that_was_dropped_is_found(run):
    queue = folder_of(run, "iter1/routing") / "mining_gaps.parquet"
    files.write_parquet(queue, pd.read_parquet(queue).iloc[1:])
    reseal(run)
    refused(run, "iter1/routing queue", "number of rows")


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


def test_a_training_image_with_the_content_of_a_kpi_image_is_refused(run):
    """H3: a merge report that admits 99 leaks was accepted; here the images are compared again."""
    pictures = [
        next((run.workspace.images / split).rglob("*.png")) for split in ("train/board0", "kpi/board0")
    ]
    with Image.open(pictures[1]) as picture:
        picture.save(pictures[0], compress_level=1)
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


# --- the end ---------------------------------------------------------------------------------


def test_a_changed_threshold_in_the_published_hand_over_is_refused(run):
    files.write_json(run.best_model, {**files.read_json(run.best_model), "threshold": 0.9})
    refused(run, "iter2/loop_stop hand-over threshold", "best_model.json", "recorded 0.9")


def test_a_changed_threshold_in_every_copy_of_the_hand_over_is_refused(run):
    """H4: a forged best model completed a run."""
    for path in (run.best_model, run.root / "handoff" / run.best_model.name):
        files.write_json(path, {**files.read_json(path), "threshold": 0.9})
    reseal(run)
    refused(run, "iter2/loop_stop hand-over threshold", "handoff/best_model.json")


def test_a_changed_inference_spec_is_refused(run):
    spec = files.read_yaml(run.inference_spec)
    spec["model"]["classify"]["eval_margin"] = 0.9
    files.write_yaml(run.inference_spec, spec)
    refused(run, "hand-over model.classify.eval_margin", "best_model_inference_spec.yaml")


def test_another_reason_to_stop_than_the_figures_give_is_refused(run):
    change(run, "iter2/loop_stop", lambda entry: entry["outcome"]["values"].update(stop_reason="hard_stop"))
    refused(run, "iter2/loop_stop stop_reason", "recorded hard_stop, found max_iterations")


# --- by hand, seeded -------------------------------------------------------------------------


def logged_by_hand(run: RunFolder) -> list[int]:
    """Make the stages of the baseline look as if they had been logged by hand, and cut the rest."""
    entries = [entry for entry in entries_of(run) if entry["iter"] == "baseline"]
    for entry in entries:
        if entry["kind"] == "stage":
            entry.update(kind="manual", outcome={}, evidence=[])
    reseal(run, [entry for entry in entries if entry["stage"] != "spot_check"])
    return [entry["seq"] for entry in entries_of(run) if entry["kind"] == "manual"]


def test_stages_logged_by_hand_count_once_the_audit_has_redone_them(run):
    wanted = files.read_json(run.state)["iterations"]["baseline"]
    numbers = logged_by_hand(run)
    assert files.read_json(run.state)["iterations"] == {}
    record = audit_run(run)
    assert record["audited"] == numbers
    state = files.read_json(run.state)
    found = state["iterations"]["baseline"]
    assert state["unaudited"] == []
    for name in ("best_ckpt_path", "far_pct", "threshold", "kpi", "promoted", "rca_gaps_parquet"):
        assert first_difference(wanted[name], found[name]) is None
    again = audit_run(run)
    assert (again["audited"], again["stages"]) == ([], 3)


def test_an_artifact_changed_after_its_stage_was_audited_disagrees(run):
    logged_by_hand(run)
    audit_run(run)
    files.write_text(folder := run.phase("baseline").train / "status.json", folder.read_text() * 2)
    assert audit_run(run)["status"] == "agrees"
    status = folder.read_text().replace('"val_loss": ', '"val_loss": 1')
    files.write_text(folder, status)
    refused(run, "baseline/train val_loss")


def test_a_stage_logged_by_hand_without_its_artifacts_is_refused_and_nothing_is_confirmed(run):
    logged_by_hand(run)
    shutil.rmtree(run.phase("baseline").rca_results)
    before = run.log.read_bytes()
    refused(run, "baseline/rca folder", "logged by hand", "no such folder")
    assert run.log.read_bytes() == before


def test_a_hand_over_by_hand_is_redone_like_any_other(run):
    entries = entries_of(run)
    entries[-1].update(kind="manual", outcome={}, evidence=[])
    reseal(run, entries)
    assert audit_run(run)["audited"] == [entries[-1]["seq"]]
    assert files.read_json(run.state)["stop_reason"] == "max_iterations"


def test_a_busy_run_is_not_written_to(run):
    logged_by_hand(run)
    with RunLock(run), pytest.raises(RunBusy):
        audit_run(run)


def test_a_failed_stage_logged_by_hand_claims_nothing(run):
    logged_by_hand(run)
    audit_run(run)
    entry = {"iter": "iter1", "stage": "routing", "status": "error", "summary": "x", "kind": "manual"}
    LoopLog(run.log).append(entry)
    rebuild(run)
    assert audit_run(run)["stages"] == 3


@pytest.fixture
def seeded(finished, tmp_path, monkeypatch) -> RunFolder:
    """A run that starts from a checkpoint somebody else trained."""
    use_stub(monkeypatch)
    checkpoint = tmp_path / "automl.pth"
    shutil.copyfile(next(finished.phase("iter1").train.glob("*.pth")), checkpoint)
    run = open_approved_run(make_workspace(tmp_path / "workspace"), baseline=checkpoint, max_iterations=1)
    run_loop(run, SILENT)
    return run


def test_a_seeded_baseline_agrees_while_its_checkpoint_is_the_plans(seeded, tmp_path):
    record = audit_run(seeded)
    assert (record["status"], record["not_checked"]) == ("agrees", [])
    checkpoint = tmp_path / "automl.pth"
    content = checkpoint.read_bytes()
    checkpoint.unlink()
    assert any("automl.pth" in sentence for sentence in audit_run(seeded)["not_checked"])
    checkpoint.write_bytes(content + b" ")
    refused(seeded, "baseline/train seed", "automl.pth")


def test_the_seeded_checkpoint_is_no_result_of_a_later_training(seeded, tmp_path):
    best = sorted(seeded.phase("iter1").train.glob("*.pth"))[-1]
    shutil.copyfile(tmp_path / "automl.pth", best)
    reseal(seeded)
    refused(seeded, "iter1/train checkpoint", "automl.pth")


def test_what_cannot_be_checked_is_said_once():
    tally = Tally()
    tally.skip("the workspace")
    tally.skip("the workspace")
    assert tally.not_checked == ["the workspace"]


# --- comparison ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "found", "difference"),
    [
        ({"a": 1.0}, {"a": 1.0 + 1e-13}, None),
        ({"a": 1.0}, {"a": 1.0001}, ("a", 1.0, 1.0001)),
        ({"a": [1, {"b": "x"}]}, {"a": (1, {"b": "y"})}, ("a.1.b", "x", "y")),
        ({"a": 1}, {}, ("a", 1, "nothing")),
        ({}, {"a": 1}, ("a", "nothing", 1)),
        ([1], [1, 2], ("", [1], [1, 2])),
        (True, 1, ("", True, 1)),
        (1.0, True, ("", 1.0, True)),
        ("1", 1, ("", "1", 1)),
    ],
)
def test_numbers_agree_up_to_rounding_and_nothing_else_does(recorded, found, difference):
    assert first_difference(recorded, found) == difference
