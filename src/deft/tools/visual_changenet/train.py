"""`visual_changenet train` on a classify spec.

The same spec, data, thread count and torch build give the same bytes, and a training that was killed and
started again ends with the same files as one that was not (except the time fields of `status.json`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from omegaconf import DictConfig

from deft.tools.output import report_progress, say
from deft.tools.visual_changenet.checkpoint import checkpoint_to_resume
from deft.tools.visual_changenet.data import Split, SplitSource
from deft.tools.visual_changenet.engine import Engine
from deft.tools.visual_changenet.interruption import Interruption, interruptible
from deft.tools.visual_changenet.precision import set_threads
from deft.tools.visual_changenet.recipe import require_recipe, require_trainable
from deft.tools.visual_changenet.status import StatusLog, recorded
from deft.tools.visual_changenet.trainer import Trainer


def train(config: DictConfig) -> None:
    """Train until `train.num_epochs`, continuing from the newest checkpoint of the results folder.

    Raises UsageError for keys that contradict each other, InputRefused for data or a checkpoint that does not
    fit; SIGTERM and SIGINT end it after the step at work, with a checkpoint, as SystemExit 143 or 130.
    """
    require_recipe(config)
    with recorded(config, "train") as (folder, log), interruptible() as interruption:
        engine = require_trainable(config)
        set_threads(config.train.embedded.threads)
        with deterministic():
            _train(config, engine, folder, log, interruption)


def _train(
    config: DictConfig, engine: Engine, folder: Path, log: StatusLog, interruption: Interruption
) -> None:
    resumed = checkpoint_to_resume(folder, config.train.resume_training_checkpoint_path)
    continues = resumed is not None and resumed[0].parent == folder.resolve()
    if resumed and continues:
        log.continue_after(resumed[1]["training"]["records"])
    else:
        log.write("Starting Visual ChangeNet train.", status="STARTED")
    trainer = Trainer(config, engine, *_splits(config))
    if resumed:
        say(f"Resuming training from checkpoint: {resumed[0]}")
        trainer.resume(*resumed)
    elif config.train.pretrained_model_path:
        trainer.warm_start(Path(config.train.pretrained_model_path))
    if not continues:
        if resumed:
            log.write(f"Resuming training from checkpoint: {resumed[0]}")
        log.write("Starting Training Loop.", status="STARTED")
    interruption.defer()
    while trainer.position.epoch < config.train.num_epochs:
        _run_epoch(trainer, folder, log, interruption)
    log.write("Training loop complete.")


def _splits(config: DictConfig) -> tuple[Split, Split]:
    batch_size = config.dataset.classify.batch_size
    training = SplitSource.from_config(config, "train").load(batch_size)
    return training, SplitSource.from_config(config, "validation").load(batch_size)


def _run_epoch(trainer: Trainer, folder: Path, log: StatusLog, interruption: Interruption) -> None:
    """Take the epoch's remaining steps, then record, validate and save."""
    options, position = trainer.config.train, trainer.position
    epoch, started, first = position.epoch, time.monotonic(), position.step
    last_step = (epoch + 1) * trainer.steps_per_epoch
    while position.step < last_step:
        trainer.step()
        report_progress(position.step, trainer.total_steps, "step")
        if interruption.asked:
            trainer.save(folder, len(log), interrupted=True)
            interruption.exit()
        if position.step < last_step and _is_due(options, "step", position.step):
            trainer.save(folder, len(log))
    seconds = time.monotonic() - started
    _record_epoch(trainer, log, seconds, seconds / (last_step - first) if last_step > first else 0.0)
    is_last = epoch + 1 == options.num_epochs
    if is_last or (epoch + 1) % options.validation_interval == 0:
        log.write("Eval metrics generated.", kpi=trainer.validate(), data={"epoch": epoch, "step": last_step})
    trainer.finish_epoch()
    if is_last or _is_due(options, "epoch", epoch + 1) or _is_due(options, "step", last_step):
        trainer.save(folder, len(log))


def _is_due(options: DictConfig, unit: str, count: int) -> bool:
    return bool(options.checkpoint_interval_unit == unit and count % options.checkpoint_interval == 0)


def _record_epoch(trainer: Trainer, log: StatusLog, seconds: float, step_seconds: float) -> None:
    position, epochs = trainer.position, trainer.config.train.num_epochs
    remaining = epochs - 1 - position.epoch
    log.write(
        "Training loop in progress",
        data={
            "epoch": position.epoch,
            "step": position.step,
            "max_epoch": epochs - 1,
            "max_step": trainer.total_steps,
            "time_per_epoch": str(timedelta(seconds=seconds)),
            "time_per_step": str(timedelta(seconds=step_seconds)),
            "eta": str(timedelta(seconds=seconds * remaining)),
        },
    )
    figures = trainer.epoch_figures()
    log.write("Train metrics generated.", kpi=figures)
    say(f"epoch {position.epoch + 1}/{epochs}: train_loss {figures['train_loss']:.4f}")


@contextmanager
def deterministic() -> Iterator[None]:
    """Let torch use only kernels that repeat bit for bit, and restore its setting afterwards."""
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
