"""The gate: only the user's approval of exactly this plan lets anything happen."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from deft import files
from deft.errors import Corruption, NotApproved, StateConflict, UsageError
from deft.guard import approval
from deft.run import gate
from deft.run.log import read
from deft.workspace.layout import RunFolder, Workspace, state_home

Plan = dict[str, Any]


def approved_run(workspace: Workspace, plan: Plan) -> RunFolder:
    gate.save_pending(plan)
    gate.approve(workspace, by="user-words", session_id="s-1")
    return gate.open_run(workspace)


def another(plan: Plan, **changes: Any) -> Plan:
    return {**plan, **changes}


# --- a plan that waits -------------------------------------------------------------------------------


def test_a_plan_waits_outside_the_workspace(workspace: Workspace, plan: Plan) -> None:
    before = sorted(workspace.root.rglob("*"))
    digest = gate.save_pending(plan, "s-1")
    assert digest == files.sha256_of_record(plan)
    assert gate.pending_for(workspace) == plan
    assert sorted(workspace.root.rglob("*")) == before


def test_a_newer_plan_takes_the_place_of_the_older(workspace: Workspace, plan: Plan) -> None:
    gate.save_pending(plan)
    gate.save_pending(another(plan, platform="docker"))
    assert gate.pending_for(workspace) == another(plan, platform="docker")


def test_a_plan_edited_while_it_waits_waits_no_longer(workspace: Workspace, plan: Plan) -> None:
    digest = gate.save_pending(plan)
    stored = state_home() / "plans" / f"{digest}.json"
    stored.write_text(json.dumps(another(plan, platform="docker")))
    assert gate.pending_for(workspace) is None
    with pytest.raises(NotApproved, match="no plan waits"):
        gate.approve(workspace, by="user-words")


def test_a_plan_that_breaks_its_schema_is_not_kept(plan: Plan) -> None:
    plan["settings"]["num_epochs"]["value"] = -1
    with pytest.raises(Corruption, match=r"\$\.settings\.num_epochs\.value"):
        gate.save_pending(plan)


def test_a_session_id_that_is_a_path_is_refused(plan: Plan) -> None:
    with pytest.raises(UsageError):
        gate.save_pending(plan, "../../etc/x")


# --- approvals that hold -----------------------------------------------------------------------------


def test_an_approved_plan_passes_before_and_in_its_run(workspace: Workspace, plan: Plan) -> None:
    gate.save_pending(plan)
    record = gate.approve(workspace, by="user-words", session_id="s-1")
    assert gate.require_approval(workspace, plan) == record
    run = gate.open_run(workspace)
    assert gate.require_approval(run, plan) == record
    assert (record["by"], record["session_id"]) == ("user-words", "s-1")


def test_plans_of_single_stages_are_approved_the_same_way(workspace: Workspace, plan: Plan) -> None:
    mine = another(plan, kind="mine", run_id="mine-2026-01-02_030405")
    gate.save_pending(mine)
    with pytest.raises(NotApproved, match="nobody approved"):
        gate.require_approval(workspace, mine)
    assert gate.approve(workspace, by="user-words")["kind"] == "mine"
    gate.require_approval(workspace, mine)


# --- approvals that do not ---------------------------------------------------------------------------


def refusal(place: Workspace | RunFolder, plan: Plan) -> str:
    with pytest.raises(NotApproved) as caught:
        gate.require_approval(place, plan)
    assert caught.value.exit_code == 4
    undecided = caught.value.fact == "nobody approved this plan" and isinstance(place, Workspace)
    assert ("deft approve" if undecided else "deft preflight") in caught.value.hint
    return str(caught.value)


def test_a_missing_approval_is_refused(workspace: Workspace, plan: Plan, run: RunFolder) -> None:
    gate.save_pending(plan)
    assert "nobody approved" in refusal(workspace, plan)
    assert "nobody approved" in refusal(run, plan)


@pytest.mark.parametrize(
    "field", ["plan_sha256", "run_id", "workspace", "workspace_inode", "expires_at", "by"]
)
def test_an_approval_with_one_field_edited_is_forged(workspace: Workspace, plan: Plan, field: str) -> None:
    run = approved_run(workspace, plan)
    record = files.read_json(run.approval)
    value = record[field]
    record[field] = value + 1 if isinstance(value, int) else f"{value}0"
    run.approval.write_text(json.dumps(record))
    assert "forged" in refusal(run, plan)


@pytest.mark.parametrize("signature", ["", "0" * 64, None, ["x"], "ü"])
def test_an_approval_that_nobody_signed_is_forged(workspace: Workspace, plan: Plan, signature: Any) -> None:
    run = approved_run(workspace, plan)
    run.approval.write_text(json.dumps({**files.read_json(run.approval), "hmac": signature}))
    assert "forged" in refusal(run, plan)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"yes"', "{}"])
def test_an_approval_that_is_no_record_is_refused(workspace: Workspace, plan: Plan, content: str) -> None:
    run = approved_run(workspace, plan)
    run.approval.write_text(content)
    refusal(run, plan)


def test_an_approval_signed_with_another_key_is_forged(workspace: Workspace, plan: Plan) -> None:
    run = approved_run(workspace, plan)
    (state_home() / "key").unlink()
    assert "forged" in refusal(run, plan)


def test_an_approval_copied_from_another_run_is_refused(workspace: Workspace, plan: Plan) -> None:
    first = approved_run(workspace, plan)
    other = another(plan, run_id="run_20260103_000000")
    copied = RunFolder(workspace.results / other["run_id"])
    copied.root.mkdir()
    shutil.copy(first.approval, copied.approval)
    assert "copied from run run_20260102_030405" in refusal(copied, other)


def test_plan_and_approval_copied_together_are_refused_in_another_folder(
    workspace: Workspace, plan: Plan
) -> None:
    first = approved_run(workspace, plan)
    copied = RunFolder(workspace.results / "run_20260103_000000")
    shutil.copytree(first.root, copied.root)
    assert "copied from run" in refusal(copied, plan)


def test_an_approval_is_void_in_a_copy_of_the_workspace(
    workspace: Workspace, plan: Plan, tmp_path: Path
) -> None:
    approved_run(workspace, plan)
    shutil.copytree(workspace.root, tmp_path / "copy")
    copied = Workspace.at(tmp_path / "copy")
    assert "another workspace" in refusal(copied.runs()[0], plan)
    moved = another(plan, workspace=str(copied.root))
    assert "another workspace" in refusal(copied.runs()[0], moved)


def test_an_approval_is_void_when_the_workspace_was_replaced_at_its_path(
    workspace: Workspace, plan: Plan, tmp_path: Path
) -> None:
    approved_run(workspace, plan)
    workspace.root.rename(tmp_path / "old")
    shutil.copytree(tmp_path / "old", workspace.root)
    assert "another workspace" in refusal(workspace.runs()[0], plan)


def test_a_changed_plan_is_refused_and_the_change_is_named(workspace: Workspace, plan: Plan) -> None:
    run = approved_run(workspace, plan)
    settings = {**plan["settings"], "num_epochs": {"value": 200, "source": "user"}}
    said = refusal(run, another(plan, settings=settings))
    assert "changed after its approval" in said
    assert "settings.num_epochs.value (2 → 200)" in said


def test_an_approval_that_nobody_used_expires_after_a_week(
    workspace: Workspace, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.save_pending(plan)
    gate.approve(workspace, by="user-words", session_id="s-1")
    given = approval.now()
    monkeypatch.setattr(approval, "now", lambda: given + 7 * 86400 - 60)
    gate.require_approval(workspace, plan)
    monkeypatch.setattr(approval, "now", lambda: given + 7 * 86400 + 60)
    assert "expired at" in refusal(workspace, plan)
    with pytest.raises(NotApproved, match="expired at"):
        gate.open_run(workspace)
    assert not workspace.results.exists()


def test_a_run_that_was_opened_in_time_goes_on_whatever_the_clock_says(
    workspace: Workspace, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = approved_run(workspace, plan)
    given = approval.now()
    for days in (-1, 8, 3653):
        monkeypatch.setattr(approval, "now", lambda days=days: given + days * 86400)
        gate.require_approval(run, plan)


def test_an_expired_approval_that_no_run_was_opened_with_opens_none_by_being_put_there(
    workspace: Workspace, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = approved_run(workspace, plan)
    older = approval.decide(plan, "approved", "user-words", "s-1", days=-1)
    files.write_json(run.approval, older)
    assert "expired at" in refusal(run, plan)


def test_an_expired_run_goes_on_after_a_new_approval(
    workspace: Workspace, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = approved_run(workspace, plan)
    given = approval.now()
    monkeypatch.setattr(approval, "now", lambda: given + 8 * 86400)
    assert approved_run(workspace, plan) == run
    gate.require_approval(run, plan)
    assert [entry["kind"] for entry in read(run.log)] == ["approval", "approval"]


def test_a_refused_plan_does_not_run(workspace: Workspace, plan: Plan) -> None:
    gate.save_pending(plan, "s-1")
    approval.hear("No, thanks.", "s-1")
    assert "the user refused" in refusal(workspace, plan)
    with pytest.raises(NotApproved, match="no plan waits"):
        gate.approve(workspace, by="user-words")


def test_a_key_that_others_can_read_approves_nothing(workspace: Workspace, plan: Plan) -> None:
    run = approved_run(workspace, plan)
    (state_home() / "key").chmod(0o644)
    assert "open to others" in refusal(run, plan)


def test_a_key_that_others_can_read_signs_nothing(workspace: Workspace, plan: Plan) -> None:
    gate.save_pending(plan)
    approval.signed({})
    (state_home() / "key").chmod(0o640)
    with pytest.raises(NotApproved, match="open to others"):
        gate.approve(workspace, by="user-words")


# --- who may approve ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("at_terminal")
def test_a_person_at_a_terminal_may_approve(workspace: Workspace, plan: Plan) -> None:
    gate.save_pending(plan)
    assert gate.approve(workspace, by="terminal")["by"] == "terminal"


@pytest.mark.usefixtures("at_terminal")
@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_without_a_terminal_nobody_can_approve(
    workspace: Workspace, plan: Plan, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    monkeypatch.setattr(f"sys.{stream}.isatty", lambda: False, raising=False)
    gate.save_pending(plan)
    with pytest.raises(NotApproved, match="needs a terminal"):
        gate.approve(workspace, by="terminal")
    refusal(workspace, plan)


@pytest.mark.usefixtures("at_terminal")
def test_an_agent_s_shell_cannot_approve(
    workspace: Workspace, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "agent_marker", lambda: "CLAUDECODE")
    gate.save_pending(plan)
    with pytest.raises(NotApproved, match="CLAUDECODE is set"):
        gate.approve(workspace, by="terminal")
    refusal(workspace, plan)


def test_the_demo_approves_only_what_it_drew(workspace: Workspace, plan: Plan) -> None:
    gate.save_pending(plan)
    (workspace.root / "provenance.json").write_text('{"made_by": "deft demo"}')
    with pytest.raises(NotApproved, match="drew itself"):
        gate.approve(workspace, by="demo")
    gate.remember_drawn(workspace)
    assert gate.approve(workspace, by="demo")["by"] == "demo"


def test_a_workspace_that_took_the_place_of_the_drawn_one_is_not_the_demo_s(
    workspace: Workspace, plan: Plan, tmp_path: Path
) -> None:
    gate.remember_drawn(workspace)
    workspace.root.rename(tmp_path / "drawn")
    shutil.copytree(tmp_path / "drawn", workspace.root)
    gate.save_pending(plan)
    with pytest.raises(NotApproved, match="drew itself"):
        gate.approve(workspace, by="demo")


# --- drift -------------------------------------------------------------------------------------------


def test_unchanged_inputs_pass(workspace: Workspace, plan: Plan) -> None:
    gate.check_drift(plan, workspace, {"num_epochs": 2})


def test_a_changed_input_is_named(workspace: Workspace, plan: Plan) -> None:
    workspace.kpi_table.write_text("input_path,label\nb1,bridge\n")
    with pytest.raises(StateConflict, match=r"input changed since the plan was made: kpi/testing_set\.csv"):
        gate.check_drift(plan, workspace)


def test_an_input_that_disappeared_or_appeared_is_named(workspace: Workspace, plan: Plan) -> None:
    workspace.holdout_table.write_text("new")
    with pytest.raises(StateConflict, match=r"appeared since the plan was made: kpi/holdout_set\.csv"):
        gate.check_drift(plan, workspace)
    workspace.baseline_spec.unlink()
    with pytest.raises(
        StateConflict, match=r"disappeared since the plan was made: specs/baseline_spec\.yaml"
    ):
        gate.check_drift(plan, workspace)


@pytest.mark.parametrize("settings", [{"num_epochs": 5}, {"seed": 1}])
def test_a_parameter_other_than_the_approved_is_named(
    workspace: Workspace, plan: Plan, settings: dict[str, int]
) -> None:
    with pytest.raises(StateConflict, match=f"parameter {next(iter(settings))} is not the approved one"):
        gate.check_drift(plan, workspace, settings)


def test_an_old_approval_does_not_open_a_run_on_changed_inputs(workspace: Workspace, plan: Plan) -> None:
    gate.save_pending(plan)
    gate.approve(workspace, by="user-words")
    workspace.kpi_table.write_text("input_path,label\n")
    with pytest.raises(StateConflict, match=r"testing_set\.csv"):
        gate.open_run(workspace)
    assert not workspace.results.exists()


# --- a run opens -------------------------------------------------------------------------------------


def test_nothing_under_results_exists_before_the_approval(workspace: Workspace, plan: Plan) -> None:
    gate.save_pending(plan)
    with pytest.raises(NotApproved):
        gate.open_run(workspace)
    assert not workspace.results.exists()


def test_an_opened_run_holds_plan_approval_log_and_state(workspace: Workspace, plan: Plan) -> None:
    run = approved_run(workspace, plan)
    assert files.read_json(run.plan) == plan
    (entry,) = read(run.log)
    assert (entry["kind"], entry["evidence"][0]["path"]) == ("approval", "approval.json")
    assert files.read_json(run.state)["plan_sha256"] == files.sha256_of_record(plan)
    assert gate.pending_for(workspace) is None
    with pytest.raises(NotApproved, match="no plan waits"):
        gate.open_run(workspace)


@pytest.mark.parametrize("step", ["write_json", "_log_approval", "write_state"])
def test_an_opening_that_was_killed_is_completed_by_the_next(
    workspace: Workspace, plan: Plan, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    gate.save_pending(plan)
    gate.approve(workspace, by="user-words")
    with monkeypatch.context() as patch:
        place = files if step == "write_json" else gate
        patch.setattr(place, step, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            gate.open_run(workspace)
    run = gate.open_run(workspace)
    assert len(read(run.log)) == 1
    gate.require_approval(run, plan)


def test_a_run_of_the_same_name_with_another_plan_is_left_alone(workspace: Workspace, plan: Plan) -> None:
    run = approved_run(workspace, plan)
    before = {path: path.read_bytes() for path in run.root.iterdir()}
    gate.save_pending(another(plan, platform="docker"))
    gate.approve(workspace, by="user-words")
    with pytest.raises(StateConflict, match="follows another plan"):
        gate.open_run(workspace)
    assert {path: path.read_bytes() for path in run.root.iterdir()} == before


def test_everything_the_gate_keeps_is_private(workspace: Workspace, plan: Plan) -> None:
    approved_run(workspace, plan)
    gate.save_pending(plan, "s-1")
    for root, folders, names in os.walk(state_home()):
        for name in folders:
            assert (Path(root) / name).stat().st_mode & 0o077 == 0
        for name in names:
            assert (Path(root) / name).stat().st_mode & 0o177 == 0
