"""The audit: an honest run agrees wherever it lies; what was done by hand counts once it is redone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deft import files
from deft.errors import RunBusy
from deft.loop import run_loop
from deft.run.audit import audit_run
from deft.run.audit_evidence import first_difference
from deft.run.clean import remove_checkpoints, superfluous_checkpoints
from deft.run.lock import RunLock
from deft.run.log import LoopLog, read
from deft.run.state import rebuild
from deft.workspace.layout import RunFolder
from forging import (
    copy_with_workspace,
    entries_of,
    entry_of,
    refused,
    reseal,
    rewrite_csv,
)
from loop_fixtures import SILENT, new_run, open_approved_run, use_stub
from tiny_workspace import make_workspace


@pytest.fixture
def run(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of a finished run, with its workspace, to tamper with."""
    return copy_with_workspace(finished, tmp_path)


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


@pytest.mark.parametrize("change", ["swap", "remove"])
def test_weights_outside_the_workspace_that_are_not_here_are_named_as_not_checked(
    tmp_path, monkeypatch, change
):
    use_stub(monkeypatch)
    weights, workspace = files.write_text(tmp_path / "dinov2.pth", "weights"), make_workspace(tmp_path / "ws")
    spec = files.read_yaml(workspace.baseline_spec)
    spec["model"]["backbone"] = {"type": "vit_small_dinov2", "pretrained_backbone_path": str(weights)}
    spec["dataset"]["classify"].update(image_width=14, image_height=14)
    files.write_yaml(workspace.baseline_spec, spec)
    run = open_approved_run(workspace, max_iterations=1, spot_check=False)
    run_loop(run, SILENT)
    assert not any("dinov2" in sentence for sentence in audit_run(run)["not_checked"])
    weights.write_text("others!") if change == "swap" else weights.unlink()
    record = audit_run(run)
    assert record["status"] == "agrees"
    assert [sentence for sentence in record["not_checked"] if str(weights) in sentence]
    assert not any("the workspace of the plan" in sentence for sentence in record["not_checked"])


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


def audit_note(run: RunFolder, audited: dict) -> dict:
    """Return a note as the audit writes it, with these values."""
    last = entries_of(run)[-1]
    note = {"kind": "note", "stage": "audit", "status": "ok", "evidence": [], "attempt": 1}
    return {**last, **note, "outcome": {"audited": audited}}


def better_figures(run: RunFolder, step: str) -> tuple[str, dict]:
    entry = entry_of(run, step)
    return str(entry["seq"]), {**entry["outcome"]["values"], "far_pct": 0.0, "target_met": True}


@pytest.mark.parametrize("step", ["baseline/evaluate", "iter2/evaluate"])
def test_a_forged_confirmation_of_a_stage_of_the_loop_is_refused_and_says_nothing(run, step):
    reseal(run)
    number, values = better_figures(run, step)
    before = files.read_json(run.state)["iterations"]
    reseal(run, [*entries_of(run), audit_note(run, {number: values})])
    assert files.read_json(run.state)["iterations"] == before
    refused(run, "audit order", f"entry {number} is no stage logged by hand")


def test_a_forged_confirmation_of_what_was_logged_by_hand_is_refused(run):
    _, values = better_figures(run, "baseline/evaluate")
    logged_by_hand(run)
    number = next(str(entry["seq"]) for entry in entries_of(run) if entry["stage"] == "evaluate")
    audit_run(run)
    honest = entries_of(run)
    reseal(run, [*honest, audit_note(run, {number: values})])
    refused(run, "baseline/evaluate far_pct", f"line {len(honest) + 1}", "recorded 0.0")
    reseal(run, [*honest[:-1], audit_note(run, {number: values}), honest[-1]])
    refused(run, "baseline/evaluate far_pct", f"line {len(honest)}", "recorded 0.0")


def test_a_later_confirmation_is_no_evidence_for_what_came_before_it(run):
    """The lie itself is named: nothing is redone from it on the way there."""
    number = str(logged_by_hand(run)[0])
    audit_run(run)
    *claimed, note = entries_of(run)
    note["outcome"]["audited"][number]["best_ckpt_path"] = "/forged.pth"
    reseal(run, [*claimed, note])
    refused(run, "baseline/train best_ckpt_path", "/forged.pth")


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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"far_pct": 0.0}, "far_pct"),
        ({"best_ckpt_path": "/other.pth"}, "best_ckpt_path"),
        ({"latest_ckpt_path": "/other.pth"}, "latest_ckpt_path"),
        ({"training_spec": "/other.yaml"}, "training_spec"),
        ({"warm_start_from": "iter9"}, "warm_start_from"),
    ],
)
def test_a_seed_is_exactly_what_the_plan_says(seeded, change, words):
    entries = entries_of(seeded)
    next(entry for entry in entries if entry["kind"] == "note")["outcome"]["seeded"].update(change)
    reseal(seeded, entries)
    refused(seeded, f"baseline/train seed {words}")


def test_a_second_seed_changes_no_figure_and_is_refused(seeded):
    reseal(seeded)
    before = files.read_json(seeded.state)["iterations"]
    entries = entries_of(seeded)
    forged = next(entry for entry in entries if entry["kind"] == "note")
    for where in ({"iter": "iter1", "stage": "remark"}, {}):
        outcome = {"seeded": {"far_pct": 0.0, "target_met": True}}
        reseal(seeded, [*entries, {**forged, **where, "outcome": outcome}])
        assert files.read_json(seeded.state)["iterations"] == before
        refused(seeded, "order", "baseline")


def test_a_seed_where_the_plan_names_none_is_refused(run):
    approval, *rest = entries_of(run)
    note = {**approval, "kind": "note", "stage": "train", "evidence": [], "outcome": {"seeded": {}}}
    reseal(run, [approval, note, *rest])
    refused(run, "baseline/train order", "names no baseline")


def test_the_seeded_checkpoint_is_no_result_of_a_later_training(seeded, tmp_path):
    best = sorted(seeded.phase("iter1").train.glob("*.pth"))[-1]
    shutil.copyfile(tmp_path / "automl.pth", best)
    reseal(seeded)
    refused(seeded, "iter1/train checkpoint", "automl.pth")
