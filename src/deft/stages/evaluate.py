"""Score the KPI, validation and held-out sets with the best and the latest checkpoint, and gate.

The KPI set is the user's target and picks the threshold, so its figures are in-sample; beside them
always stands the threshold calibrated on validation and applied unchanged (contracts/loop.md).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from deft import files
from deft.errors import StageFailed
from deft.metrics.kpi import defect_flags, kpi_figures, transfer
from deft.metrics.kpi_files import RECORD, analyze
from deft.metrics.operating_points import sweep
from deft.metrics.target import Target
from deft.platforms.base import ToolCall
from deft.stages.base import Outcome, Record, Stage, StageContext
from deft.workspace.rows import read_table
from deft.workspace.training_spec import images_folder, inference_spec, read_baseline_spec

SPEC = "inference_spec.yaml"
SCORES = "inference.csv"
BEST, LATEST = "best_val", "latest"
NOT_IN_STATE = ("rules", "bootstrap", "schema_version")


class Evaluate(Stage):
    """Fill `inference/{best_val,latest}/`, choose the checkpoint, and decide on promotion."""

    name: ClassVar[str] = "evaluate"

    def place(self, context: StageContext) -> Path:
        return context.phase.inference

    def reads(self, context: StageContext) -> list[Path]:
        phase = context.figures(context.phase.name)
        return [
            Path(phase["training_spec"]),
            *_checkpoints(phase).values(),
            *(table for table, _ in _sides(context).values()),
        ]

    def parameters(self, context: StageContext) -> Record:
        return {"target": context.plan["target"], "incumbent": context.state.get("incumbent")}

    def work(self, context: StageContext, folder: Path) -> Outcome:
        kinds = _checkpoints(context.figures(context.phase.name))
        self._score(context, folder, kinds)
        figures = {kind: self._figures(context, folder / kind) for kind in kinds}
        target = Target.from_record(context.plan["target"])
        chosen = min(figures, key=lambda kind: (rank(target, figures[kind]), kind != BEST))
        if LATEST not in kinds:
            shutil.copytree(folder / BEST, folder / LATEST)
        return self._outcome(context, folder, kinds[chosen], chosen, figures[chosen], target)

    def _score(self, context: StageContext, folder: Path, kinds: dict[str, Path]) -> None:
        training = files.read_yaml(Path(context.figures(context.phase.name)["training_spec"]))
        batch = context.setting("inference_batch_size")
        spec = files.write_yaml(folder / SPEC, inference_spec(training, batch_size=batch))
        context.call(
            [
                _inference_call(context, spec, checkpoint, table, images, _side_folder(folder, kind, side))
                for kind, checkpoint in kinds.items()
                for side, (table, images) in _sides(context).items()
            ]
        )

    def _figures(self, context: StageContext, folder: Path) -> Record:
        """Compute every figure of one checkpoint from the tables of scores, and write them beside."""
        kpi = read_scores(folder / SCORES)
        validation = read_scores(folder / "validation" / SCORES)
        target = Target.from_record(context.plan["target"])
        record: Record = analyze(folder / SCORES, folder)["kpi"]
        record["target_value"] = target.value(sweep(kpi["siamese_score"], defect_flags(kpi["label"])))
        record["validation_calibrated"] = transfer(validation, kpi, target.recall_floor)
        holdout = folder / "holdout" / SCORES
        record["holdout"] = _holdout(holdout, validation, target) if holdout.is_file() else None
        files.write_json(folder / RECORD, record)
        return record

    def _outcome(
        self,
        context: StageContext,
        folder: Path,
        checkpoint: Path,
        kind: str,
        figures: Record,
        target: Target,
    ) -> Outcome:
        promoted = is_better(context, target, figures)
        strictest = figures["far_at_100"]
        far = 100 * strictest["far"]
        kept = {name: value for name, value in figures.items() if name not in NOT_IN_STATE}
        return Outcome(
            summary=f"FAR {far:.3g}% at 100% recall, {100 * figures['far_at_99_5']['far']:.3g}% at 99.5%"
            + ("" if promoted else "; the incumbent stays"),
            values={
                "best_ckpt_path": checkpoint,
                "best_ckpt_kind": kind,
                "far_pct": far,
                "threshold": strictest["threshold"],
                "inference_csv": folder / kind / SCORES,
                "kpi": kept,
                "promoted": promoted,
                **({"incumbent": context.phase.name} if promoted else {}),
                "target_met": target.is_met_by(figures["target_value"]),
            },
            events=() if promoted else (f"{context.phase.name} is not better than {context.incumbent}",),
        )


def _checkpoints(phase: Record) -> dict[str, Path]:
    """Return the checkpoints to compare: the best by validation, and the latest where it is another."""
    best, latest = Path(phase["best_ckpt_path"]), Path(phase["latest_ckpt_path"])
    return {BEST: best} if best == latest else {BEST: best, LATEST: latest}


def _sides(context: StageContext) -> dict[str, tuple[Path, Path]]:
    """Return the table and image root of each set that is scored."""
    workspace = context.run.workspace
    spec = read_baseline_spec(workspace)
    infer = images_folder(spec, "infer", workspace)
    sides = {
        "kpi": (workspace.kpi_table, infer),
        "validation": (workspace.validation_table, images_folder(spec, "validation", workspace)),
    }
    if workspace.holdout_table.is_file():
        sides["holdout"] = (workspace.holdout_table, infer)
    return sides


def _side_folder(folder: Path, kind: str, side: str) -> Path:
    return folder / kind if side == "kpi" else folder / kind / side


def _inference_call(
    context: StageContext, spec: Path, checkpoint: Path, table: Path, images: Path, results: Path
) -> ToolCall:
    return ToolCall(
        category="visual_changenet",
        action="inference",
        spec=spec,
        overrides={
            "inference.checkpoint": checkpoint,
            "inference.results_dir": results,
            "dataset.classify.infer_dataset.csv_path": table,
            "dataset.classify.infer_dataset.images_dir": images,
        },
        reads=(context.run.workspace.root,),
        writes=results,
        log=results / "inference.log",
        title=f"score {context.phase.name}",
        gpus=context.setting("num_gpus"),
    )


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


def _holdout(path: Path, validation: pd.DataFrame, target: Target) -> Record:
    holdout = read_scores(path)
    record = kpi_figures(holdout)
    record["validation_calibrated"] = transfer(validation, holdout, target.recall_floor)
    return {name: value for name, value in record.items() if name not in NOT_IN_STATE}


def rank(target: Target, figures: Record) -> tuple[float, float, float]:
    """Return what sorts models, better first: the target's figure, FAR at 99.5 % recall, AUROC."""
    return (target.badness(figures["target_value"]), figures["far_at_99_5"]["far"], -figures["auroc"])


def is_better(context: StageContext, target: Target, figures: Record) -> bool:
    """Say whether a candidate replaces the incumbent: strictly better by `rank`; the baseline always."""
    if context.phase.number == 0:
        return True
    incumbent: dict[str, Any] = context.figures(context.incumbent)["kpi"]
    return rank(target, figures) < rank(target, incumbent)
