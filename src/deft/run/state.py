"""`deft_state.json`: a pure fold of the log over the plan, in the original's keys, rebuilt to the byte.

Values of a stage's outcome go to its phase, except the few of `RUN_VALUES`, which belong to the run. A
manual entry changes nothing until an audit has recomputed its values; until then it stands under
`unaudited`. Line and state are written under one lock, so that an older fold never follows a newer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from deft import files
from deft.run.log import GENESIS, LoopLog, read
from deft.run.tokens import token_table
from deft.run.transitions import (
    BASELINE,
    HARD_STOP,
    LOOP_STOP,
    audited_values,
    phase_number,
    seed_of,
    values_of,
)
from deft.schemas import validate
from deft.workspace.layout import RunFolder

State = dict[str, Any]
Entry = dict[str, Any]

VERSION = 3
RUN_VALUES = ("incumbent", "stop_reason", "final_artifacts")
COMPLETED_STEP_VALUES = [
    *("evaluate", "rca", "anomalygen", "routing"),
    *("data_mining", "data_merge", "train", LOOP_STOP),
]
STATUS_VALUES = ["pending", "in_progress", "complete", "failed"]


def fold(plan: State, entries: Sequence[Entry]) -> State:
    """Return the state that a plan and its log entries make; the same arguments give the same bytes."""
    state = _fresh(plan, entries)
    audited, tokens = audited_values(entries), token_table(entries)
    seed = seed_of(entries) if plan.get("baseline") else None
    for entry in entries:
        if entry["kind"] == "manual" and entry["seq"] not in audited:
            state["unaudited"].append({name: entry[name] for name in ("seq", "iter", "stage")})
        elif entry["kind"] in ("stage", "manual"):
            _apply_stage(state, entry, audited.get(entry["seq"], values_of(entry)), tokens.get(entry["seq"]))
        elif entry is seed:
            _apply_seed(state, entry)
    return state


def _fresh(plan: State, entries: Sequence[Entry]) -> State:
    target = plan.get("target") or {}
    last = entries[-1] if entries else {"seq": 0, "sha256": GENESIS}
    return {
        "version": VERSION,
        "run_id": plan["run_id"],
        "started_at": _started_at(plan, entries),
        "status": "pending",
        "kpi_target": str(target.get("text", "")),
        "kpi": target,
        "results_dir": str(_workspace(plan) / "results" / plan["run_id"]),
        "plan_sha256": files.sha256_of_record(plan),
        "platform": plan.get("platform"),
        "max_iterations": _setting(plan, "max_iterations"),
        "current_iteration": 0,
        "incumbent": BASELINE,
        "stop_reason": None,
        "final_artifacts": None,
        "config": _config(plan),
        "iterations": {},
        "unaudited": [],
        "log": {"seq": last["seq"], "sha256": last["sha256"]},
        "_completed_step_values": COMPLETED_STEP_VALUES,
        "_status_values": STATUS_VALUES,
    }


def _started_at(plan: State, entries: Sequence[Entry]) -> str:
    moment = str(entries[0]["ts"] if entries else plan["created_at"])
    return f"{moment[:19]}Z"


def _workspace(plan: State) -> PurePosixPath:
    return PurePosixPath(plan["workspace"])


def _setting(plan: State, name: str) -> Any:
    return plan.get("settings", {}).get(name, {}).get("value")


def _config(plan: State) -> State:
    root = _workspace(plan)
    return {
        "specs_file": str(root / "specs" / "baseline_spec.yaml"),
        "training_csv": str(root / "train" / "base" / "training_set.csv"),
        "validation_csv": str(root / "train" / "base" / "validation_set.csv"),
        "kpi_test_csv": str(root / "kpi" / "testing_set.csv"),
        "images_dir": str(_setting(plan, "images_dir") or root / "kpi" / "images"),
        "backbone_weight_dir": str(root / "augmentation" / "backbone"),
        "train_container": _setting(plan, "train_container"),
        "num_gpus": _setting(plan, "num_gpus"),
        "batch_size": _setting(plan, "batch_size"),
        "num_epochs": _setting(plan, "num_epochs"),
        "anomalygen": _anomalygen_config(plan),
        "mining_filter": {
            "sub_skill": "tao-mine-aoi-images",
            "top_k_per_target": _setting(plan, "top_k_per_target"),
            "metric": _setting(plan, "knn_metric"),
            "min_similarity": _setting(plan, "min_similarity"),
        },
        "pregen": str(root / "results" / plan["run_id"] / "synth_pool" / "manifest.json"),
    }


def _anomalygen_config(plan: State) -> State:
    folder = _workspace(plan) / "augmentation" / "anomalygen"
    given = any(str(path).endswith("anomalygen/defect_spec.jsonl") for path in plan.get("inputs", {}))
    return {
        "sub_skill": None,
        "mode": "pregen_ingest",
        "pregen_dir": str(folder),
        "reconstructed_image_dir": str(folder / "reconstructed_image"),
        "original_image_dir": str(folder / "original_image"),
        "defect_spec": str(folder / "defect_spec.jsonl") if given else None,
    }


def _fresh_phase() -> State:
    return {
        "status": "pending",
        "stage_completed": None,
        "best_ckpt_path": None,
        "best_ckpt_kind": None,
        "far_pct": None,
        "threshold": None,
        "val_loss": None,
        "inference_csv": None,
        "rca_target_defects": [],
        "rca_gaps_parquet": None,
        "rca_threshold": None,
        "routing_mining_parquet": None,
        "routing_anomalygen_parquet": None,
        "anomalygen_ingest": None,
        "mining_mined_parquet": None,
        "mining_mined_count": None,
        "kpi": None,
        "stages": {},
    }


# --- what one entry changes --------------------------------------------------------------------------


def _apply_stage(state: State, entry: Entry, values: State, usage: State | None) -> None:
    phase = state["iterations"].setdefault(entry["iter"], _fresh_phase())
    state["current_iteration"] = phase_number(entry["iter"])
    phase["stages"][entry["stage"]] = _stage_record(entry, usage)
    if entry["status"] == "error":
        phase["status"] = state["status"] = "failed"
        return
    phase.update({name: value for name, value in values.items() if name not in RUN_VALUES})
    state.update({name: value for name, value in values.items() if name in RUN_VALUES})
    phase["stage_completed"] = entry["stage"]
    phase["status"], state["status"] = _statuses(entry["stage"], state["stop_reason"])


def _statuses(stage: str, stop_reason: str | None) -> tuple[str, str]:
    """Return the status of the phase and of the run after a completed stage."""
    if stage == LOOP_STOP:
        return ("failed", "failed") if stop_reason == HARD_STOP else ("complete", "complete")
    return ("complete" if stage == "rca" else "in_progress", "in_progress")


def _apply_seed(state: State, entry: Entry) -> None:
    phase = state["iterations"].setdefault(entry["iter"], _fresh_phase())
    phase.update(entry["outcome"]["seeded"])
    phase["stage_completed"] = "train"
    phase["status"] = state["status"] = "in_progress"


def _stage_record(entry: Entry, usage: State | None) -> State:
    outcome = entry["outcome"]
    record: State = {
        "status": entry["status"],
        "seq": entry["seq"],
        "attempt": entry["attempt"],
        "seconds": outcome.get("seconds", entry["duration_sec"]),
        "summary": entry["summary"],
        "inputs": {**_hashes(entry, "input"), **outcome.get("inputs", {})},
        "outputs": {**_hashes(entry, "output"), **outcome.get("outputs", {})},
    }
    record.update({name: outcome[name] for name in ("key", "folder", "events") if name in outcome})
    if entry["kind"] == "manual":
        record["manual"] = True
    if usage is not None:
        record["tokens"] = usage
    return record


def _hashes(entry: Entry, role: str) -> dict[str, str]:
    return {item["path"]: item["sha256"] for item in entry["evidence"] if item.get("role", "output") == role}


# --- on disk ---------------------------------------------------------------------------------------


def append_and_fold(run: RunFolder, plan: State, log: LoopLog, entry: Entry) -> tuple[Entry, State]:
    """Append one entry to a run's log and replace the state before any other writer can; return both."""
    with log.locked():
        return log.append(entry), _replace(run, plan)


def write_state(run: RunFolder, plan: State) -> State:
    """Replace `deft_state.json` by the fold of the log as it is now, and return it."""
    with LoopLog(run.log).locked():
        return _replace(run, plan)


def _replace(run: RunFolder, plan: State) -> State:
    """Fold, check against the schema, write atomically; the caller holds the log's lock."""
    state = fold(plan, read(run.log))
    validate(state, "state")
    files.write_json(run.state, state)
    return state


def rebuild(run: RunFolder) -> State:
    """Write the state anew from `plan.json` and the log alone; the bytes are those that were there."""
    return write_state(run, read_plan(run))


def read_plan(run: RunFolder) -> State:
    """Read the plan of a run; one that breaks its schema is corruption."""
    plan: State = files.read_json(run.plan)
    validate(plan, "plan")
    return plan
