"""Read what a TAO training left: which epochs were validated, which checkpoint is best, which newest.

There is no best-checkpoint file in TAO: it follows from `val_loss` in `status.json`
(contracts/tao-commands.md sections 4 and 6). Importing this needs no torch.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deft.errors import InputRefused
from deft.files import read_yaml

CHECKPOINT_NAME = re.compile(r"model_epoch_(\d+)_step_(\d+)\.pth")
LOOP_START, EPOCH, VALIDATION = (
    "Starting Training Loop.",
    "Training loop in progress",
    "Eval metrics generated.",
)
NO_NUMBER = (KeyError, TypeError, ValueError, OverflowError)


def checkpoint_name(epoch: int, step: int) -> str:
    """Return the file name of a checkpoint: zero-based epoch, global step."""
    return f"model_epoch_{epoch:03d}_step_{step:05d}.pth"


def checkpoints(folder: Path) -> dict[int, Path]:
    """Return the checkpoint of every epoch in a training folder, oldest first."""
    found: dict[int, Path] = {}
    for path in sorted(folder.glob("model_epoch_*_step_*.pth")):
        match = CHECKPOINT_NAME.fullmatch(path.name)
        if match:
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def status_records(folder: Path) -> list[dict[str, Any]]:
    """Read the records of `status.json`; a line that is not JSON (a killed writer) is passed over."""
    path = folder / "status.json"
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def recorded_losses(folder: Path) -> dict[int, float]:
    """Return the validation loss of every epoch that `status.json` calls validated; the last word counts."""
    losses: dict[int, float] = {}
    for epoch, record in _validations(status_records(folder), _validation_interval(folder)):
        loss = _validation_loss(record)
        if math.isfinite(loss):
            losses[epoch] = loss
    return dict(sorted(losses.items()))


def _validation_loss(record: dict[str, Any]) -> float:
    try:
        return float(record["kpi"]["val_loss"])
    except NO_NUMBER:
        return math.nan


def _whole(record: dict[str, Any], name: str) -> int | None:
    """Return a whole number of a record, None where it has none: another program may write anything."""
    try:
        return int(record[name])
    except NO_NUMBER:
        return None


def epochs_done(folder: Path) -> tuple[int, int | None]:
    """Return how many epochs a training has finished, and of how many, as far as `status.json` says."""
    for record in reversed(status_records(folder)):
        epoch, last = _whole(record, "epoch"), _whole(record, "max_epoch")
        if record.get("message") == EPOCH and epoch is not None:
            return epoch + 1, None if last is None else last + 1
    return 0, None


def _validations(records: list[dict[str, Any]], interval: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield every validation with its epoch: the record's own, else the one that its neighbours tell.

    A container's validation does not say its epoch, and is written before or after the record that does.
    """
    for segment in _training_loops(records):
        comes_first = bool(segment) and segment[0]["message"] == VALIDATION
        for position, record in enumerate(segment):
            if record["message"] != VALIDATION:
                continue
            epoch = _whole(record, "epoch")
            if epoch is None:
                epoch = _told_epoch(segment, position, interval, comes_first=comes_first)
            if epoch is not None:
                yield epoch, record


def _training_loops(records: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Divide the records that matter where a training began or was resumed."""
    loops: list[list[dict[str, Any]]] = [[]]
    for record in records:
        if record.get("message") == LOOP_START:
            loops.append([])
        elif record.get("message") == VALIDATION or _is_epoch(record):
            loops[-1].append(record)
    return loops


def _is_epoch(record: dict[str, Any]) -> bool:
    return record.get("message") == EPOCH and _whole(record, "epoch") is not None


def _told_epoch(loop: list[dict[str, Any]], position: int, interval: int, *, comes_first: bool) -> int | None:
    """Return the epoch of a validation between two epochs; None where no epoch is near it."""
    before = next((int(r["epoch"]) for r in reversed(loop[:position]) if r["message"] == EPOCH), None)
    after = next((int(r["epoch"]) for r in loop[position:] if r["message"] == EPOCH), None)
    following = before + 1 if after is None and before is not None else after
    if interval > 1:  # validated are the epochs whose number, counted from 1, the interval divides
        return next((e for e in (before, following) if e is not None and (e + 1) % interval == 0), None)
    return following if comes_first else before


def _validation_interval(folder: Path) -> int:
    """Return every how many epochs a training was validated; 1 where its settings are not there."""
    path = folder / "experiment.yaml"
    try:
        settings = read_yaml(path) if path.is_file() else {}
        return max(1, int(settings["train"]["validation_interval"]))
    except (*NO_NUMBER, InputRefused):
        return 1


def validation_losses(folder: Path) -> dict[int, float]:
    """Return the validation loss of every validated epoch that has a checkpoint."""
    kept = checkpoints(folder)
    return {epoch: loss for epoch, loss in recorded_losses(folder).items() if epoch in kept}


def best_epoch(losses: dict[int, float]) -> int:
    """Return the epoch with the lowest validation loss; of equals the later one."""
    return min(losses, key=lambda epoch: (losses[epoch], -epoch))


def best_checkpoint(folder: Path) -> Path:
    """Return the checkpoint with the lowest validation loss; of equals the later one."""
    losses = validation_losses(folder)
    if not losses:
        raise InputRefused("no validated checkpoint in folder", value=folder, hint="read its train.log")
    return checkpoints(folder)[best_epoch(losses)]


def latest_checkpoint(folder: Path) -> Path:
    """Return the checkpoint of the last epoch."""
    found = checkpoints(folder)
    if not found:
        raise InputRefused("no checkpoint in folder", value=folder, hint="read its train.log")
    return found[max(found)]
