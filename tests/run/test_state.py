"""The state: a fold of the log that can be thrown away and comes back to the byte."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deft import files
from deft.errors import Corruption, RunBusy
from deft.run import log as log_module
from deft.run import state as state_module
from deft.run.log import LoopLog, read
from deft.run.state import append_and_fold, fold, read_plan, rebuild, write_state
from deft.workspace.layout import RunFolder

Entry = dict[str, Any]
Make = Callable[..., Entry]

GOLDEN = Path(__file__).parent / "golden"
ORIGINAL_KEYS = [
    "version",
    "started_at",
    "kpi_target",
    "results_dir",
    "max_iterations",
    "current_iteration",
    "config",
    "iterations",
    "_completed_step_values",
    "_status_values",
]
ORIGINAL_CONFIG_KEYS = [
    "specs_file",
    "training_csv",
    "validation_csv",
    "kpi_test_csv",
    "images_dir",
    "backbone_weight_dir",
    "train_container",
    "num_gpus",
    "batch_size",
    "num_epochs",
    "anomalygen",
    "mining_filter",
    "pregen",
]
ORIGINAL_PHASE_KEYS = [
    "status",
    "stage_completed",
    "best_ckpt_path",
    "best_ckpt_kind",
    "far_pct",
    "threshold",
    "val_loss",
    "inference_csv",
    "rca_target_defects",
    "rca_gaps_parquet",
    "rca_threshold",
    "routing_mining_parquet",
    "routing_anomalygen_parquet",
    "anomalygen_ingest",
    "mining_mined_parquet",
    "mining_mined_count",
]


def test_every_key_of_the_original_s_version_2_is_there(
    log: LoopLog, stage: Make, plan: dict[str, Any]
) -> None:
    log.append(stage("baseline/train"))
    state = fold(plan, log.read())
    assert set(ORIGINAL_KEYS) <= set(state)
    assert set(state["config"]) == set(ORIGINAL_CONFIG_KEYS)
    assert set(ORIGINAL_PHASE_KEYS) <= set(state["iterations"]["baseline"])
    assert set(state["config"]["anomalygen"]) == {
        *("sub_skill", "mode", "pregen_dir", "reconstructed_image_dir", "original_image_dir", "defect_spec")
    }
    assert state["version"] == 3


def test_phases_stand_under_iterations_and_never_beside_them(
    log: LoopLog, stage: Make, plan: dict[str, Any]
) -> None:
    log.append(stage("baseline/train"))
    state = fold(plan, log.read())
    assert "baseline" not in state
    assert list(state["iterations"]) == ["baseline"]


def test_values_of_a_stage_go_to_its_phase_and_the_run_s_own_to_the_run(
    log: LoopLog, stage: Make, plan: dict[str, Any]
) -> None:
    log.append(stage("baseline/train", best_ckpt_path="/c.pth"))
    log.append(stage("baseline/evaluate", far_pct=4.5, threshold=0.1234567890123, incumbent="baseline"))
    phase = (state := fold(plan, log.read()))["iterations"]["baseline"]
    assert (phase["best_ckpt_path"], phase["far_pct"], phase["threshold"]) == ("/c.pth", 4.5, 0.1234567890123)
    assert "incumbent" not in phase
    assert state["incumbent"] == "baseline"
    assert phase["stage_completed"] == "evaluate"


def test_a_stage_s_record_holds_attempt_hashes_and_seconds(
    log: LoopLog, stage: Make, plan: dict[str, Any]
) -> None:
    entry = stage("baseline/train")
    spec = {"path": "specs/baseline_spec.yaml", "sha256": "a" * 64, "size": 3, "role": "input"}
    checkpoint = {"path": "baseline/train/best.pth", "sha256": "b" * 64, "size": 9}
    entry["evidence"] = [spec, checkpoint]
    entry["outcome"] |= {"seconds": 7.25, "key": "c" * 64, "outputs": {"status.json": "d" * 64}}
    log.append(entry)
    record = fold(plan, log.read())["iterations"]["baseline"]["stages"]["train"]
    assert record["attempt"] == 1
    assert record["seconds"] == 7.25
    assert record["inputs"] == {"specs/baseline_spec.yaml": "a" * 64}
    assert record["outputs"] == {"baseline/train/best.pth": "b" * 64, "status.json": "d" * 64}


def test_the_same_log_gives_the_same_bytes_and_changes_neither_argument(
    log: LoopLog, stage: Make, plan: dict[str, Any]
) -> None:
    log.append(stage("baseline/train", rca_target_defects=["bridge"]))
    entries = log.read()
    before = copy.deepcopy((plan, entries))
    first = fold(plan, entries)
    first["iterations"]["baseline"]["stages"].clear()
    assert json.dumps(fold(plan, entries)) == json.dumps(fold(*before))
    assert (plan, entries) == before


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], ("pending", None)),
        (["baseline/train"], ("in_progress", "in_progress")),
        (["baseline/train", "baseline/evaluate!"], ("failed", "failed")),
        (["baseline/train", "baseline/evaluate", "baseline/rca"], ("in_progress", "complete")),
    ],
)
def test_the_status_follows_the_last_stage(
    log: LoopLog, stage: Make, plan: dict[str, Any], steps: list[str], expected: tuple[str, str | None]
) -> None:
    for step in steps:
        log.append(stage(step.rstrip("!"), "error" if step.endswith("!") else "ok"))
    state = fold(plan, log.read())
    assert (state["status"], state["iterations"].get("baseline", {}).get("status")) == expected


@pytest.mark.parametrize(("reason", "status"), [("target_met", "complete"), ("hard_stop", "failed")])
def test_the_end_says_why(log: LoopLog, stage: Make, plan: dict[str, Any], reason: str, status: str) -> None:
    log.append(stage("baseline/train"))
    log.append(stage("baseline/evaluate", target_met=True))
    log.append(stage("baseline/loop_stop", stop_reason=reason))
    state = fold(plan, log.read())
    assert (state["status"], state["stop_reason"]) == (status, reason)


def test_what_was_logged_by_hand_changes_nothing_until_it_is_audited(
    log: LoopLog, stage: Make, note: Make, plan: dict[str, Any]
) -> None:
    log.append(stage("baseline/train", kind="manual", best_ckpt_path="/claimed.pth"))
    state = fold(plan, log.read())
    assert state["iterations"] == {}
    assert state["unaudited"] == [{"seq": 1, "iter": "baseline", "stage": "train"}]
    log.append(note(audited={"1": {"best_ckpt_path": "/found.pth"}}))
    state = fold(plan, log.read())
    assert state["unaudited"] == []
    assert state["iterations"]["baseline"]["best_ckpt_path"] == "/found.pth"
    assert state["iterations"]["baseline"]["stages"]["train"]["manual"] is True


def test_a_seeded_baseline_shows_as_trained(log: LoopLog, note: Make, plan: dict[str, Any]) -> None:
    plan["baseline"] = {"checkpoint": "/automl.pth", "sha256": "0" * 64}
    files.write_json(log.path.with_name("plan.json"), plan)
    log.append({**note(seeded={"best_ckpt_path": "/automl.pth"}), "stage": "train"})
    phase = fold(plan, log.read())["iterations"]["baseline"]
    assert (phase["stage_completed"], phase["best_ckpt_path"]) == ("train", "/automl.pth")
    assert fold({**plan, "baseline": None}, log.read())["iterations"] == {}


def test_forged_notes_leave_the_figures_of_a_stage(
    log: LoopLog, stage: Make, note: Make, plan: dict[str, Any]
) -> None:
    log.append(stage("baseline/train", val_loss=0.5))
    (entry,) = log.read()
    better = {"val_loss": 0.0}
    notes = [note(audited={"1": better}), {**note(seeded=better), "stage": "train"}]
    sealed = [{**forged, "seq": 2, "ts": entry["ts"], "sha256": "0" * 64} for forged in notes]
    state = fold({**plan, "baseline": {"checkpoint": "/x.pth"}}, [entry, *sealed])
    assert state["iterations"]["baseline"]["val_loss"] == 0.5


def test_a_plan_that_leaves_settings_out_still_folds(plan: dict[str, Any]) -> None:
    bare = {name: plan[name] for name in ("run_id", "workspace", "created_at")}
    state = fold(bare, [])
    assert state["config"]["num_epochs"] is None
    assert state["kpi"] == {}


def test_the_state_names_the_last_line_it_was_folded_from(
    log: LoopLog, note: Make, plan: dict[str, Any]
) -> None:
    log.append(note())
    last = log.append(note())
    assert fold(plan, log.read())["log"] == {"seq": 2, "sha256": last["sha256"]}


# --- on disk -----------------------------------------------------------------------------------------


def test_a_deleted_state_comes_back_to_the_byte(
    run: RunFolder, log: LoopLog, stage: Make, plan: dict[str, Any]
) -> None:
    files.write_json(run.plan, plan)
    for step in ("baseline/train", "baseline/evaluate", "baseline/rca"):
        log.append(stage(step, far_pct=0.1 + 0.2, val_loss=1e-7))
    write_state(run, plan)
    before = run.state.read_bytes()
    run.state.write_text("{}")
    rebuild(run)
    assert run.state.read_bytes() == before


@pytest.mark.parametrize("step", ["fold", "_replace"])
@pytest.mark.parametrize("way", ["append_and_fold", "write_state"])
def test_no_other_line_comes_between_a_line_and_its_state(
    run: RunFolder,
    log: LoopLog,
    note: Make,
    plan: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    way: str,
) -> None:
    log.append(note())
    work = getattr(state_module, step)
    tried = []

    def overtaken(*given: Any) -> Any:
        with pytest.raises(RunBusy):
            LoopLog(run.log).append(note("overtakes"))
        tried.append(given)
        return work(*given)

    monkeypatch.setattr(log_module, "LOCK_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(state_module, step, overtaken)
    state = write_state(run, plan) if way == "write_state" else append_and_fold(run, plan, log, note())[1]
    assert len(tried) == 1
    assert files.read_json(run.state) == state
    assert state["log"]["seq"] == len(log.read())


@pytest.mark.parametrize("content", ["null", "{}", '{"settings": []}', "[" * 100_000])
def test_a_plan_that_is_none_is_corruption_by_its_name(run: RunFolder, content: str) -> None:
    run.plan.write_text(content)
    with pytest.raises(Corruption, match=r"plan"):
        read_plan(run)


def test_a_state_that_breaks_its_schema_is_not_written(
    run: RunFolder, log: LoopLog, stage: Make, plan: dict[str, Any]
) -> None:
    log.append(stage("baseline/train", far_pct="good"))
    with pytest.raises(Corruption, match=r"\$\.iterations\.baseline\.far_pct"):
        write_state(run, plan)
    assert not run.state.exists()


def test_the_golden_log_of_version_3_still_folds_to_its_golden_state() -> None:
    plan = files.read_json(GOLDEN / "plan.json")
    entries = read(GOLDEN / "loop_log.jsonl")
    state = json.dumps(fold(plan, entries), indent=2, ensure_ascii=False) + "\n"
    assert state == (GOLDEN / "deft_state.json").read_text(encoding="utf-8")
    assert {entry["kind"] for entry in entries} == {"stage", "manual", "note", "recovered", "approval"}
