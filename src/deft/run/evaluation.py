"""The figures of an evaluated phase from its tables of scores: recorded by the stage, redone by the audit.

The KPI set is the user's target and picks the threshold, so its figures are in-sample; beside them
always stands the threshold calibrated on validation and applied unchanged (contracts/loop.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from deft.errors import StageFailed
from deft.metrics.kpi import defect_flags, kpi_figures, transfer
from deft.metrics.operating_points import sweep
from deft.metrics.target import Target
from deft.workspace.rows import read_table

SCORES = "inference.csv"
BEST, LATEST = "best_val", "latest"
NOT_IN_STATE = ("rules", "bootstrap", "schema_version")
Record = dict[str, Any]


def compared_checkpoints(phase: Record) -> dict[str, Path]:
    """Return the checkpoints to compare: the best by validation, and the latest where it is another."""
    best, latest = Path(phase["best_ckpt_path"]), Path(phase["latest_ckpt_path"])
    return {BEST: best} if best == latest else {BEST: best, LATEST: latest}


def read_scores(path: Path) -> pd.DataFrame:
    """Read `inference.csv` with its labels normalised and its scores as numbers."""
    table = read_table(path)
    if "siamese_score" not in table:
        raise StageFailed("inference wrote no column `siamese_score`", value=path)
    scores = pd.to_numeric(table["siamese_score"], errors="coerce").astype("float64")
    if scores.isna().any():
        row = int(scores.isna().to_numpy().argmax()) + 2
        raise StageFailed(f"inference wrote a score that is no number in row {row}", value=path)
    return table.assign(siamese_score=scores)


def complete_figures(kpi: Record, folder: Path, target: Target) -> Record:
    """Add to the KPI figures of a checkpoint's folder the target's, the calibrated and the held-out ones."""
    scored = read_scores(folder / SCORES)
    validation = read_scores(folder / "validation" / SCORES)
    holdout = folder / "holdout" / SCORES
    return {
        **kpi,
        "target_value": target.value(sweep(scored["siamese_score"], defect_flags(scored["label"]))),
        "validation_calibrated": transfer(validation, scored, target.recall_floor),
        "holdout": _holdout(holdout, validation, target) if holdout.is_file() else None,
    }


def _holdout(path: Path, validation: pd.DataFrame, target: Target) -> Record:
    holdout = read_scores(path)
    record = kpi_figures(holdout)
    record["validation_calibrated"] = transfer(validation, holdout, target.recall_floor)
    return for_state(record)


def for_state(figures: Record) -> Record:
    """Return the figures without what explains them."""
    return {name: value for name, value in figures.items() if name not in NOT_IN_STATE}


def rank(target: Target, figures: Record) -> tuple[float, float, float]:
    """Return what sorts models, better first: the target's figure, FAR at 99.5 % recall, AUROC."""
    return (target.badness(figures["target_value"]), figures["far_at_99_5"]["far"], -figures["auroc"])


def choose(target: Target, figures: Mapping[str, Record]) -> str:
    """Return the kind of the better checkpoint; of equals the best by validation."""
    return min(figures, key=lambda kind: (rank(target, figures[kind]), kind != BEST))


def decision(
    phase: str, figures: Record, target: Target, incumbent: Record | None, scores: str | Path
) -> Record:
    """Return what an evaluation gives to the state, but for the checkpoint.

    `incumbent` holds the figures of the best model so far, None for the baseline: a candidate replaces it
    where it is strictly better by `rank`, the baseline always stands.
    """
    promoted = incumbent is None or rank(target, figures) < rank(target, incumbent)
    strictest = figures["far_at_100"]
    return {
        "far_pct": 100 * strictest["far"],
        "threshold": strictest["threshold"],
        "inference_csv": scores,
        "kpi": for_state(figures),
        "promoted": promoted,
        **({"incumbent": phase} if promoted else {}),
        "target_met": target.is_met_by(figures["target_value"]),
    }
