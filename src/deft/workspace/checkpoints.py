"""Read what a TAO training left: which epochs were validated, which checkpoint is best, which newest.

There is no best-checkpoint file in TAO: it follows from `val_loss` in `status.json`
(contracts/tao-commands.md sections 4 and 6). Importing this needs no torch.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from deft.errors import InputRefused

CHECKPOINT_NAME = re.compile(r"model_epoch_(\d+)_step_(\d+)\.pth")


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
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def recorded_losses(folder: Path) -> dict[int, float]:
    """Return the validation loss of every epoch that `status.json` calls validated; the last word counts."""
    losses: dict[int, float] = {}
    for record in status_records(folder):
        kpi = record.get("kpi")
        if record.get("message") != "Eval metrics generated." or not isinstance(kpi, dict):
            continue
        loss = float(kpi.get("val_loss", math.nan))
        if math.isfinite(loss) and "epoch" in record:
            losses[int(record["epoch"])] = loss
    return dict(sorted(losses.items()))


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
