"""What is done to a run by hand, under the rules of the loop: its approval, its order, its names.

A folder without a plan is worked on as the original scripts do; the caller says that no plan guards it.
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deft import files
from deft.errors import InputRefused, StateConflict, UsageError
from deft.run.gate import require_approval
from deft.run.handoff import runnable_spec, write_handoff
from deft.run.log import LoopLog, read
from deft.run.state import append_and_fold, fold, read_plan
from deft.schemas import validate
from deft.workspace.layout import RUN_NAME, RunFolder, Workspace

Record = dict[str, Any]


def guarding_run(path: Path) -> RunFolder | None:
    """Return the planned run that a path lies in, or None where no plan guards it."""
    resolved = path.expanduser().resolve()
    for folder in (resolved, *resolved.parents):
        if RUN_NAME.fullmatch(folder.name) and (folder / "plan.json").is_file():
            return RunFolder(folder)
    return None


def require_guard(path: Path) -> bool:
    """Return whether a plan guards this path; raise NotApproved if it does and nobody approved it."""
    run = guarding_run(path)
    if run is not None:
        require_approval(run, read_plan(run))
    return run is not None


# --- the log -----------------------------------------------------------------------------------------


def log_stage(log_path: Path, entry: Record) -> Record:
    """Append an entry of kind `manual` and, in a planned run, fold the state; return the entry.

    `entry` needs `iter stage status summary`. It completes no stage until an audit has recomputed its
    artifacts. Raises UsageError for unknown names and an empty summary, InputRefused for a folder as the log,
    StateConflict when out of order.
    """
    if not entry["summary"].strip():
        raise UsageError("summary is empty", hint="say in one line what came out")
    refuse_folder_as_log(log_path)
    require_guard(log_path)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    return append(log_path, {**entry, "kind": "manual"})


def refuse_folder_as_log(log_path: Path) -> None:
    """Refuse a folder where a log is wanted, naming the log in it."""
    if log_path.is_dir():
        named = shlex.quote(str(RunFolder(log_path).log))
        raise InputRefused("expected a file, found a folder", value=log_path, hint=f"--log-path {named}")


def append(log_path: Path, entry: Record) -> Record:
    """Append an entry and, where the log is a planned run's own, fold the state with it; return the entry."""
    run = run_of_log(log_path)
    if run is None:
        return LoopLog(log_path).append(entry)
    return append_and_fold(run, read_plan(run), LoopLog(run.log), entry)[0]


def run_of_log(log_path: Path) -> RunFolder | None:
    """Return the planned run whose own log this is; None for any other log, also one inside such a run."""
    run = guarding_run(log_path)
    return run if run is not None and run.log == log_path.expanduser().resolve() else None


# --- the state ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StateSettings:
    """What the original's `init_deft_state` takes."""

    workspace: Path
    kpi_target: str
    max_iterations: int
    num_gpus: int
    num_epochs: int
    batch_size: int
    top_k_per_target: int
    knn_metric: str
    min_similarity: float | None
    train_container: str

    def plan(self, run_id: str, target: Record) -> Record:
        """Return the settings in the shape of a plan, which is what a state is folded from."""
        names = ("max_iterations", "num_gpus", "num_epochs", "batch_size", "top_k_per_target")
        values = {name: getattr(self, name) for name in (*names, "knn_metric", "min_similarity")}
        values["train_container"] = self.train_container
        return {
            "run_id": run_id,
            "created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "workspace": str(Workspace.at(self.workspace).root),
            "platform": None,
            "target": target,
            "inputs": {},
            "settings": {name: {"value": value} for name, value in values.items()},
        }


def init_state(results_dir: Path, settings: StateSettings, target: Record, *, force: bool) -> Record:
    """Write a fresh `deft_state.json` into a folder without a plan and return it.

    Raises StateConflict when a state exists (unless `force`) or when the folder has a plan: the state of a
    planned run is folded from its log. InputRefused without the workspace, UsageError for what is no cosine.
    """
    _require_cosine(settings.min_similarity)
    folder = results_dir.expanduser().resolve()
    run = guarding_run(folder)
    if run is not None:
        raise StateConflict(
            "state of a planned run is folded from its log", value=run.root, hint="deft status"
        )
    path = folder / "deft_state.json"
    if path.exists() and not force:
        raise StateConflict("state exists already", value=path, hint="--force replaces it")
    state = fold(settings.plan(folder.name, target), [])
    state["results_dir"] = str(folder)
    state["config"]["pregen"] = str(folder / "synth_pool" / "manifest.json")
    validate(state, "state")
    files.write_json(path, state)
    return state


def _require_cosine(value: float | None) -> None:
    if value is not None and not -1 <= value <= 1:  # nor is nan, which JSON could not hold
        raise UsageError(
            "min_similarity is no cosine",
            value=value,
            hint="--min-similarity takes a number from -1 to 1; leave it out for no cut",
        )


# --- the hand-over -----------------------------------------------------------------------------------


def hand_over(results_dir: Path) -> Record:
    """Write `best_model.json` and its inference spec for a run, planned or not; return the first."""
    folder = results_dir.expanduser().resolve()
    run = guarding_run(folder)
    if run is not None:
        plan = read_plan(run)
        require_approval(run, plan)
        return write_handoff(run, fold(plan, read(run.log)), run.root)
    state = files.read_json(folder / "deft_state.json")
    if state.get("iterations", {}).get(state.get("incumbent"), {}).get("kpi"):
        return write_handoff(RunFolder(folder), state, folder)
    return _hand_over_original(RunFolder(folder), state)


def _hand_over_original(run: RunFolder, state: Record) -> Record:
    """Hand over from a state of the original: the lowest finite FAR whose checkpoint exists."""
    name, best = _best_phase(state, run.root)
    checkpoint = Path(best["best_ckpt_path"])
    spec_path = Path(best.get("training_spec") or state["config"]["specs_file"])
    training = files.read_yaml(spec_path)
    record = {
        "checkpoint": str(checkpoint),
        "threshold": best["threshold"],
        "far_pct": best["far_pct"],
        "iteration": name,
        "backbone": training["model"]["backbone"].get("type", ""),
        "images_dir": state["config"]["images_dir"],
        "training_spec": str(spec_path),
        "checkpoint_sha256": files.sha256_of_file(checkpoint),
    }
    files.write_yaml(run.inference_spec, runnable_spec(training, checkpoint, best["threshold"]))
    files.write_json(run.best_model, record)
    return record


def _best_phase(state: Record, folder: Path) -> tuple[str, Record]:
    found = [
        (phase["far_pct"], name, phase)
        for name, phase in state.get("iterations", {}).items()
        if _is_figure(phase.get("far_pct"))
        and _is_figure(phase.get("threshold"))
        and Path(phase.get("best_ckpt_path") or "/nowhere").is_file()
    ]
    if not found:
        raise InputRefused(
            "no phase has a FAR, a threshold and a checkpoint that exists", value=folder, hint="deft status"
        )
    _, name, phase = min(found, key=lambda item: item[:2])
    return name, phase


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
