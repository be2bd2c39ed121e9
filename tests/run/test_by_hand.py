"""Steps done by hand: guarded where a plan guards, as the original where none does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deft import files
from deft.errors import InputRefused, NotApproved, StateConflict, UsageError
from deft.run.by_hand import StateSettings, guarding_run, hand_over, init_state, log_stage, require_guard
from deft.run.gate import approve, open_run, save_pending
from deft.workspace.layout import RunFolder, Workspace

TARGET = {"text": "FAR<0.1%@recall=100%", "normal_form": "FAR < 0.1% at recall >= 100%"}
ENTRY = {"iter": "baseline", "stage": "train", "status": "ok", "summary": "trained"}


@pytest.fixture
def approved(workspace: Workspace, plan: dict[str, Any], at_terminal: None) -> RunFolder:
    save_pending(plan)
    approve(workspace, by="terminal")
    return open_run(workspace)


@pytest.fixture
def settings(tmp_path: Path) -> StateSettings:
    return StateSettings(
        workspace=tmp_path,
        kpi_target=TARGET["text"],
        max_iterations=3,
        num_gpus=1,
        num_epochs=20,
        batch_size=16,
        top_k_per_target=5,
        knn_metric="cosine",
        min_similarity=None,
        train_container="registry/pyt:1",
    )


def test_a_path_below_a_planned_run_is_guarded(approved: RunFolder, tmp_path: Path) -> None:
    assert guarding_run(approved.root / "iter1" / "dataset" / "x.csv") == approved
    assert guarding_run(tmp_path / "elsewhere") is None
    assert require_guard(approved.log)
    assert not require_guard(tmp_path)


def test_a_plan_that_nobody_approved_stops_the_hand(run: RunFolder, plan: dict[str, Any]) -> None:
    files.write_json(run.plan, plan)
    with pytest.raises(NotApproved):
        log_stage(run.log, ENTRY)
    assert not run.log.exists()


def test_a_manual_entry_of_a_planned_run_completes_no_stage(approved: RunFolder) -> None:
    written = log_stage(approved.log, ENTRY)
    assert written["kind"] == "manual"
    state = files.read_json(approved.state)
    assert state["unaudited"] == [{"seq": written["seq"], "iter": "baseline", "stage": "train"}]
    assert state["iterations"] == {}


def test_another_log_inside_a_planned_run_does_not_become_its_state(approved: RunFolder) -> None:
    before = approved.state.read_bytes()
    other = approved.root / "notes" / "loop_log.jsonl"
    assert log_stage(other, ENTRY)["seq"] == 1
    assert len(other.read_text().splitlines()) == 1
    assert approved.state.read_bytes() == before


def test_a_folder_without_a_plan_is_logged_to_as_before(tmp_path: Path) -> None:
    log = tmp_path / "new" / "loop_log.jsonl"
    assert log_stage(log, ENTRY)["seq"] == 1
    assert log_stage(log, {**ENTRY, "stage": "evaluate"})["seq"] == 2
    assert not (tmp_path / "new" / "deft_state.json").exists()


def test_a_folder_is_no_log_and_the_log_in_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="found a folder") as refusal:
        log_stage(tmp_path, ENTRY)
    assert refusal.value.hint == f"--log-path {tmp_path}/loop_log.jsonl"
    assert list(tmp_path.iterdir()) == []


def test_order_and_names_hold_by_hand_too(tmp_path: Path) -> None:
    with pytest.raises(StateConflict, match="out of order"):
        log_stage(tmp_path / "loop_log.jsonl", {**ENTRY, "stage": "rca"})
    with pytest.raises(UsageError, match="banana"):
        log_stage(tmp_path / "loop_log.jsonl", {**ENTRY, "iter": "banana"})
    with pytest.raises(UsageError, match="summary is empty"):
        log_stage(tmp_path / "loop_log.jsonl", {**ENTRY, "summary": "  "})


def test_a_fresh_state_holds_what_was_given(tmp_path: Path, settings: StateSettings) -> None:
    state = init_state(tmp_path / "run", settings, TARGET, force=False)
    assert json.loads((tmp_path / "run" / "deft_state.json").read_text()) == state
    assert state["results_dir"] == str(tmp_path / "run")
    assert state["config"]["pregen"] == str(tmp_path / "run" / "synth_pool" / "manifest.json")
    assert state["config"]["train_container"] == "registry/pyt:1"
    assert state["config"]["mining_filter"]["top_k_per_target"] == 5
    assert (state["max_iterations"], state["status"]) == (3, "pending")


def test_a_state_without_its_workspace_is_refused(tmp_path: Path, settings: StateSettings) -> None:
    with pytest.raises(InputRefused, match="workspace does not exist"):
        init_state(tmp_path / "run", replace(settings, workspace=tmp_path / "nope"), TARGET, force=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.5, -2.0])
def test_a_similarity_that_is_no_cosine_is_refused(
    tmp_path: Path, settings: StateSettings, value: float
) -> None:
    with pytest.raises(UsageError, match="no cosine"):
        init_state(tmp_path / "run", replace(settings, min_similarity=value), TARGET, force=False)
    assert not (tmp_path / "run").exists()


def test_a_state_that_exists_is_replaced_only_by_force(tmp_path: Path, settings: StateSettings) -> None:
    init_state(tmp_path, settings, TARGET, force=False)
    with pytest.raises(StateConflict, match="--force"):
        init_state(tmp_path, settings, TARGET, force=False)
    init_state(tmp_path, settings, TARGET, force=True)


def test_the_state_of_a_planned_run_is_not_written_by_hand(
    approved: RunFolder, settings: StateSettings
) -> None:
    before = approved.state.read_bytes()
    with pytest.raises(StateConflict, match="folded from its log"):
        init_state(approved.root, settings, TARGET, force=True)
    assert approved.state.read_bytes() == before


@pytest.fixture
def original_state(tmp_path: Path) -> Callable[..., Path]:
    """Write a state as the original leaves it: FAR, threshold and checkpoint a phase."""
    spec = tmp_path / "train.yaml"
    files.write_yaml(
        spec,
        {
            "model": {"backbone": {"type": "c_radio"}},
            "dataset": {"classify": {"train_dataset": {}, "image_ext": ".jpg"}},
            "train": {"classify": {"loss": "ce"}, "num_epochs": 3},
        },
    )

    def write(**phases: tuple[object, object, bool]) -> Path:
        iterations = {}
        for name, (far, threshold, exists) in phases.items():
            checkpoint = tmp_path / f"{name}.pth"
            if exists:
                checkpoint.write_bytes(name.encode())
            iterations[name] = {"far_pct": far, "threshold": threshold, "best_ckpt_path": str(checkpoint)}
        state = {
            "iterations": iterations,
            "config": {"specs_file": str(spec), "images_dir": "/data/images"},
        }
        (tmp_path / "deft_state.json").write_text(json.dumps(state), encoding="utf-8")
        return tmp_path

    return write


def test_the_lowest_far_whose_checkpoint_exists_is_handed_over(original_state: Callable[..., Path]) -> None:
    folder = original_state(
        baseline=(4.0, 0.5, True),
        iter1=(1.0, 0.25, True),
        iter2=(0.5, 0.3, False),
        iter3=(float("nan"), 0.3, True),
        iter4=(None, None, True),
    )
    record = hand_over(folder)
    assert (record["iteration"], record["threshold"], record["far_pct"]) == ("iter1", 0.25, 1.0)
    spec = files.read_yaml(folder / "best_model_inference_spec.yaml")
    assert spec["model"]["classify"]["eval_margin"] == 0.25
    assert spec["inference"]["checkpoint"] == record["checkpoint"]
    assert "train_dataset" not in spec["dataset"]["classify"]


def test_nothing_to_hand_over_is_refused_and_writes_nothing(original_state: Callable[..., Path]) -> None:
    folder = original_state(baseline=(4.0, 0.5, False))
    with pytest.raises(InputRefused, match="no phase has a FAR"):
        hand_over(folder)
    assert not (folder / "best_model.json").exists()


def test_a_planned_run_without_an_evaluated_model_is_refused(approved: RunFolder) -> None:
    with pytest.raises(StateConflict, match="no evaluated model"):
        hand_over(approved.root)
