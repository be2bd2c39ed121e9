"""Train one model: the baseline on the user's table, an iteration on its combined table."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from deft import files
from deft.embedding.model_files import backbone_files
from deft.errors import StageFailed, StateConflict
from deft.platforms.base import ToolCall
from deft.stages.base import KEY, Outcome, Record, Stage, StageContext
from deft.workspace.checkpoints import (
    best_checkpoint,
    latest_checkpoint,
    validation_losses,
)
from deft.workspace.image_digests import TRAINED, agreed_images
from deft.workspace.training_spec import (
    Spec,
    TrainingSettings,
    prove_spec,
    read_baseline_spec,
    training_spec,
)

SPEC = "train_spec.yaml"


class Train(Stage):
    """Fine-tune from the incumbent (from scratch in the baseline) and find the best epoch."""

    name: ClassVar[str] = "train"
    keeps_partial_work: ClassVar[bool] = True

    def place(self, context: StageContext) -> Path:
        return context.phase.train

    def reads(self, context: StageContext) -> list[Path]:
        workspace, phase = context.run.workspace, context.phase
        backbone = backbone_files(read_baseline_spec(workspace))
        if phase.number == 0:
            return [workspace.baseline_spec, workspace.training_table, workspace.validation_table, *backbone]
        return [phase.training_spec, phase.combined_table, workspace.validation_table, *backbone]

    def parameters(self, context: StageContext) -> Record:
        names = ("num_epochs", "batch_size", "seed", "num_gpus", "precision", "threads")
        images = agreed_images(context.plan, context.run.workspace, TRAINED)
        return {"images": images, **{name: context.setting(name) for name in names}}

    def work(self, context: StageContext, folder: Path) -> Outcome:
        spec = files.write_yaml(folder / SPEC, self._spec(context))
        context.call(
            [
                ToolCall(
                    category="visual_changenet",
                    action="train",
                    spec=spec,
                    overrides={"train.results_dir": folder},
                    reads=(context.run.workspace.root,),
                    writes=folder,
                    log=folder / "train.log",
                    title=f"train {context.phase.name}",
                    gpus=context.setting("num_gpus"),
                )
            ]
        )
        _require_same_images(context, folder)
        return self._outcome(folder, context)

    def _spec(self, context: StageContext) -> Spec:
        if context.phase.number > 0:
            spec: Spec = files.read_yaml(context.phase.training_spec)
        else:
            workspace = context.run.workspace
            spec = training_spec(
                read_baseline_spec(workspace), workspace, TrainingSettings.from_plan(context.plan)
            )
        prove_spec(spec)
        return spec

    def _outcome(self, folder: Path, context: StageContext) -> Outcome:
        losses = validation_losses(folder)
        if not losses:
            raise StageFailed(
                "training finished without one validated epoch",
                value=folder / "status.json",
                hint="read train.log beside it",
            )
        best = best_checkpoint(folder)
        loss = min(losses.values())
        return Outcome(
            summary=f"{len(losses)} epochs, best validation loss {loss:.4f}",
            values={
                "best_ckpt_path": best,
                "best_ckpt_kind": "best_val",
                "latest_ckpt_path": latest_checkpoint(folder),
                "val_loss": loss,
                "training_spec": folder / SPEC,
                "warm_start_from": None if context.phase.number == 0 else context.incumbent,
            },
        )


def _require_same_images(context: StageContext, folder: Path) -> None:
    """Refuse a training whose images were exchanged meanwhile, and let no later attempt go on from it."""
    try:
        agreed_images(context.plan, context.run.workspace, TRAINED)
    except StateConflict:
        (folder / KEY).unlink()
        raise
