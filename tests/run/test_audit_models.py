"""Models and figures: no forged training, score, figure or hand-over agrees, however well it is sealed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from deft import files
from deft.loop import run_loop
from deft.run.audit import audit_run
from deft.workspace.layout import RunFolder
from forging import (
    change,
    copy_with_workspace,
    entries_of,
    entry_of,
    folder_of,
    refused,
    reseal,
    rewrite_csv,
)
from loop_fixtures import SILENT, open_approved_run, use_stub
from stub_platform import StubPlatform
from tiny_workspace import make_workspace


@pytest.fixture
def run(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of a finished run, with its workspace, to tamper with."""
    return copy_with_workspace(finished, tmp_path)


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


def of_the_first_version(kpi):
    """Take out of a record of figures what deft did not compute before its second version."""
    newer = ("recall_at_far_1", "recall_at_far_0_1", "best_f1")
    kept = {name: value for name, value in kpi.items() if name != "rows_to_prove"}
    for name in newer:
        kept["intervals"].pop(name)
    for label in kept["per_label"].values():
        label.pop("intervals")
    if kept.get("holdout"):
        kept["holdout"] = of_the_first_version(kept["holdout"])
    return kept


def make_older(run):
    entries = entries_of(run)
    for path in run.root.rglob("kpi.json"):
        files.write_json(path, of_the_first_version(files.read_json(path)) | {"schema_version": 1})
    for entry in entries:
        if entry["stage"] == "evaluate":
            values = entry["outcome"]["values"]
            values["kpi"] = of_the_first_version(values["kpi"])
    reseal(run, entries)


def test_figures_that_an_older_version_did_not_compute_are_no_disagreement_and_are_named(run):
    """The newcomer's bug: a newer deft audited an honest older run and called it forged."""
    make_older(run)
    answer = audit_run(run)
    assert answer["status"] == "agrees"
    (said,) = [line for line in answer["not_checked"] if "version 1" in line]
    assert "intervals.best_f1" in said
    assert "rows_to_prove" in said


def test_a_figure_that_is_missing_from_a_record_of_this_version_is_a_disagreement(run):
    path = run.phase("iter1").inference / "best_val" / "kpi.json"
    record = files.read_json(path)
    record["intervals"].pop("best_f1")
    files.write_json(path, record)
    reseal(run)
    refused(run, "iter1/evaluate figures intervals.best_f1", "recorded nothing")


def test_an_older_record_may_lack_a_figure_but_not_have_another(run):
    make_older(run)
    path = run.phase("iter1").inference / "best_val" / "kpi.json"
    files.write_json(path, files.read_json(path) | {"auroc": 1.0})
    reseal(run)
    refused(run, "iter1/evaluate figures auroc", "recorded 1.0")


def test_a_page_of_an_older_run_shows_what_there_is(run):
    from deft.report.render import render_report

    make_older(run)
    page = render_report(run).read_text()
    assert "FAR at 100 %" in page
    assert "best F1" in page


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
