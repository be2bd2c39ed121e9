"""Start from a baseline that somebody else trained: it counts as trained, and the loop evaluates it first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deft import files
from deft.embedding.weight_files import require_plain_checkpoint
from deft.errors import InputRefused, StateConflict
from deft.run.log import LoopLog
from deft.run.state import append_and_fold
from deft.run.transitions import seed_of
from deft.workspace.layout import BASELINE, RunFolder
from deft.workspace.training_spec import TrainingSettings, read_baseline_spec, training_spec

Record = dict[str, Any]


def baseline_record(checkpoint: Path | None, *, own_engine: bool) -> Record | None:
    """Return what a plan holds of a checkpoint to start from; None to train the baseline.

    What this package's own engine would refuse to load is refused now; only an image knows what it loads.
    """
    if checkpoint is None:
        return None
    found = checkpoint.expanduser().resolve()
    if not found.is_file():
        raise InputRefused("baseline checkpoint does not exist", value=checkpoint)
    if own_engine:
        require_plain_checkpoint(found)
    return {"checkpoint": str(found), "sha256": files.sha256_of_file(found)}


def seed_baseline(run: RunFolder, plan: Record, log: LoopLog) -> None:
    """Record the plan's checkpoint as the trained baseline, once; nothing where the plan has none.

    Raises StateConflict when the file is no longer the one that was approved.
    """
    seed = plan.get("baseline")
    if not seed or seed_of(log.read()) is not None:
        return
    checkpoint = Path(seed["checkpoint"])
    if not checkpoint.is_file() or files.sha256_of_file(checkpoint) != seed["sha256"]:
        raise StateConflict("baseline checkpoint changed since the approval", value=checkpoint)
    spec = training_spec(read_baseline_spec(run.workspace), run.workspace, TrainingSettings.from_plan(plan))
    path = files.write_yaml(seeded_spec(run), spec)
    entry = {
        "iter": BASELINE,
        "stage": "train",
        "status": "ok",
        "summary": f"baseline starts from {checkpoint.name} {seed['sha256'][:12]}",
        "kind": "note",
        "outcome": {"seeded": seeded_values(seed, str(path))},
    }
    append_and_fold(run, plan, log, entry)


def seeded_spec(run: RunFolder) -> Path:
    """Return where the spec of a baseline that came trained lies."""
    return run.phase(BASELINE).root / "seeded_spec.yaml"


def seeded_values(seed: Record, spec: str) -> Record:
    """Return the whole of what a run records of a baseline that came trained."""
    return {
        "best_ckpt_path": seed["checkpoint"],
        "best_ckpt_kind": "best_val",
        "latest_ckpt_path": seed["checkpoint"],
        "training_spec": spec,
        "warm_start_from": None,
    }
