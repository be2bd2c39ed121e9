"""The figures of an evaluated phase from its tables of scores: recorded by the stage, redone by the audit.

The KPI set is the user's target and picks the threshold, so its figures are in-sample; beside them
always stands the threshold calibrated on validation and applied unchanged (contracts/loop.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from deft import files
from deft.errors import StageFailed
from deft.metrics.kpi import defect_flags, kpi_figures, transfer
from deft.metrics.operating_points import sweep
from deft.metrics.target import Target, rows_needed
from deft.workspace.rows import FIRST_DATA_ROW, PATHS, read_table

SCORES = "inference.csv"
SCORE = "siamese_score"
BEST, LATEST = "best_val", "latest"
NOT_IN_STATE = ("rules", "bootstrap", "schema_version")
PROMOTION = ("target", "far_at_99_5", "auroc")
"""What decides, in this order, which of two models is better; a plan names it, an old plan means this one."""
PROMOTED_BY = {"target": "the target's figure", "far_at_99_5": "FAR at 99.5 % recall", "auroc": "AUROC"}
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


def require_every_score(scores: Path, asked: Path) -> None:
    """Refuse scores that are not those of every row that was asked for, in their order, each a number.

    One hard row left out betters any figure. A cell that reads as the same number is the same: the container
    writes `001` as `1`.
    """
    found, wanted = files.read_csv(scores, required=(*PATHS, SCORE)), files.read_csv(asked, required=PATHS)
    if len(found) != len(wanted):
        raise StageFailed(f"inference scored {len(found)} rows of {len(wanted)}", value=scores)
    _refuse_first(pd.to_numeric(found[SCORE], errors="coerce").isna(), "a score that is no number", scores)
    for column in (*PATHS, "label"):
        if column in found and column in wanted:
            _refuse_first(_differ(found[column], wanted[column]), f"another {column} than asked for", scores)


def _differ(found: pd.Series[Any], wanted: pd.Series[Any]) -> pd.Series[Any]:
    one, other = (cells.str.strip().str.lower() for cells in (found, wanted))
    numbers = (pd.to_numeric(cells, errors="coerce") for cells in (one, other))
    return (one != other) & (next(numbers) != next(numbers))


def _refuse_first(wrong: pd.Series[Any], what: str, scores: Path) -> None:
    if wrong.any():
        row = int(wrong.to_numpy().argmax()) + FIRST_DATA_ROW
        raise StageFailed(f"inference wrote {what} in row {row}", value=scores, hint="read inference.log")


def complete_figures(kpi: Record, folder: Path, target: Target) -> Record:
    """Add to the KPI figures of a checkpoint's folder the target's, the calibrated and the held-out ones."""
    scored = read_scores(folder / SCORES)
    validation = read_scores(folder / "validation" / SCORES)
    holdout = folder / "holdout" / SCORES
    passing, defects = rows_needed(target)
    return {
        **kpi,
        "rows_to_prove": {"pass_rows": passing, "defect_rows": defects},
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


def rank(target: Target, figures: Record, rule: Sequence[str] = PROMOTION) -> tuple[float, ...]:
    """Return what sorts models, better first: the figures that the rule names, in its order."""
    found = compared_figures(figures)
    badness = {
        "target": target.badness(found["target"]),
        "far_at_99_5": found["far_at_99_5"],
        "auroc": -found["auroc"],
    }
    return tuple(badness[name] for name in rule)


def compared_figures(figures: Record) -> Record:
    """Return the figures that a rule of promotion may name."""
    far = figures["far_at_99_5"]["far"]
    return {"target": figures["target_value"], "far_at_99_5": far, "auroc": figures["auroc"]}


def incumbent_stays(phase: str, figures: Record, incumbent: str, best: Record, rule: Sequence[str]) -> str:
    """Say that a candidate is not promoted, with the figures that the plan's rule compared."""
    ours, theirs = compared_figures(figures), compared_figures(best)
    shown = [f"{name} {_shown(ours[name])} against {_shown(theirs[name])}" for name in rule]
    return f"{phase} is not better than {incumbent}, which stays the best model ({'; '.join(shown)})"


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def choose(target: Target, figures: Mapping[str, Record], rule: Sequence[str] = PROMOTION) -> str:
    """Return the kind of the better checkpoint; of equals the best by validation."""
    return min(figures, key=lambda kind: (rank(target, figures[kind], rule), kind != BEST))


def decision(
    phase: str,
    figures: Record,
    target: Target,
    incumbent: Record | None,
    scores: str | Path,
    rule: Sequence[str] = PROMOTION,
) -> Record:
    """Return what an evaluation gives to the state, but for the checkpoint.

    `incumbent` holds the figures of the best model so far, None for the baseline: a candidate replaces it
    where it is strictly better by `rank`, the baseline always stands.
    """
    promoted = incumbent is None or rank(target, figures, rule) < rank(target, incumbent, rule)
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
