"""Score the KPI, validation and held-out sets with the best and the latest checkpoint, and gate."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from deft import files
from deft.metrics.kpi_files import RECORD, analyze
from deft.metrics.target import Target
from deft.platforms.base import ToolCall
from deft.run.evaluation import (
    BEST,
    LATEST,
    PROMOTION,
    SCORES,
    choose,
    compared_checkpoints,
    complete_figures,
    decision,
    incumbent_stays,
    require_every_score,
)
from deft.stages.base import Outcome, Record, Stage, StageContext
from deft.workspace.image_digests import SCORED, agreed_images
from deft.workspace.training_spec import images_folder, inference_spec, read_baseline_spec

SPEC = "inference_spec.yaml"


class Evaluate(Stage):
    """Fill `inference/{best_val,latest}/`, choose the checkpoint, and decide on promotion."""

    name: ClassVar[str] = "evaluate"

    def place(self, context: StageContext) -> Path:
        return context.phase.inference

    def reads(self, context: StageContext) -> list[Path]:
        phase = context.figures(context.phase.name)
        return [
            Path(phase["training_spec"]),
            *compared_checkpoints(phase).values(),
            *(table for table, _ in _sides(context).values()),
        ]

    def parameters(self, context: StageContext) -> Record:
        return {
            "images": agreed_images(context.plan, context.run.workspace, SCORED),
            "target": context.plan["target"],
            "promotion": _rule(context),
            "incumbent": context.state.get("incumbent"),
        }

    def work(self, context: StageContext, folder: Path) -> Outcome:
        kinds = compared_checkpoints(context.figures(context.phase.name))
        self._score(context, folder, kinds)
        agreed_images(context.plan, context.run.workspace, SCORED)  # nor were they exchanged while scored
        for kind in kinds:
            for side, (table, _) in _sides(context).items():
                require_every_score(_side_folder(folder, kind, side) / SCORES, table)
        figures = {kind: self._figures(context, folder / kind) for kind in kinds}
        target = Target.from_record(context.plan["target"])
        chosen = choose(target, figures, _rule(context))
        if LATEST not in kinds:
            _copy(folder / BEST, folder / LATEST)
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
        target = Target.from_record(context.plan["target"])
        record = complete_figures(analyze(folder / SCORES, folder)["kpi"], folder, target)
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
        phase = context.phase
        best = context.figures(context.incumbent)["kpi"] if phase.number else None
        rule = _rule(context)
        values = decision(phase.name, figures, target, best, folder / kind / SCORES, rule)
        stays = (
            ()
            if best is None or values["promoted"]
            else (incumbent_stays(phase.name, figures, context.incumbent, best, rule),)
        )
        return Outcome(
            summary=f"FAR {values['far_pct']:.3g}% at 100% recall, "
            f"{100 * figures['far_at_99_5']['far']:.3g}% at 99.5%"
            + ("; the incumbent stays" if stays else ""),
            values={"best_ckpt_path": checkpoint, "best_ckpt_kind": kind, **values},
            events=stays,
        )


def _rule(context: StageContext) -> list[str]:
    """Return what decides on promotion, as the plan has it."""
    return list(context.plan.get("promotion", PROMOTION))


def _copy(source: Path, destination: Path) -> None:
    """Copy a folder's files; the first that a disk refuses is the error (`copytree` gathers them)."""
    for path in files.files_below(source):
        files.write_bytes(destination / path.relative_to(source), path.read_bytes())


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
