"""Checkpoints on disk: written in one step, linked as the newest, read as tensors and plain values only.

A checkpoint's `state_dict` are the averaged weights: those that score and that the next training starts from.
Its `training` part is what continuing needs: raw weights, optimiser, generator, position, status records.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deft import files
from deft.embedding.pair_network import read_checkpoint
from deft.errors import STORAGE_HINT, EnvironmentMissing, InputRefused, UsageError
from deft.tools.output import say
from deft.workspace.checkpoints import checkpoint_name

if TYPE_CHECKING:
    from torch import Tensor

LATEST = "changenet_model_classify_latest.pth"
INTERRUPTED = "interrupted.pth"
TAO_MODEL = "visual_changenet_classify"
RESUMABLE_SUFFIXES = (".pth", ".tlt")


def write_checkpoint(
    folder: Path,
    *,
    epoch: int,
    step: int,
    settings: dict[str, Any],
    weights: dict[str, Tensor],
    training: dict[str, Any],
    interrupted: bool = False,
) -> Path:
    """Write `model_epoch_EEE_step_SSSSS.pth` and point the link of the newest at it; return its path.

    An interrupted epoch goes to `interrupted.pth`, which the next regular checkpoint replaces: a training
    that was stopped leaves in the end the same files as one that was not.
    """
    import torch

    path = folder / (INTERRUPTED if interrupted else checkpoint_name(epoch, step))
    record = {
        "tao_model": TAO_MODEL,
        "epoch": epoch,
        "global_step": step,
        "settings": settings,
        "state_dict": weights,
        "training": training,
    }
    buffer = io.BytesIO()
    torch.save(_canonical(record), buffer)
    _write(path, buffer.getvalue())
    _link(folder / LATEST, path.name)
    if not interrupted:
        (folder / INTERRUPTED).unlink(missing_ok=True)
    return path


def _write(path: Path, content: bytes) -> None:
    try:
        files.write_bytes(path, content)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(path.parent).free
        raise EnvironmentMissing(
            f"no space left on the device for a checkpoint ({len(content):,} bytes needed, {free:,} free)",
            value=path,
            hint=STORAGE_HINT,
        ) from None


def _canonical(value: Any) -> Any:
    """Rebuild nested values so that equal ones pickle to equal bytes, whoever made them.

    Pickle writes a second reference to the same string as a back reference; after a resume, strings that were
    one object are two, and the file would differ in bytes though not in meaning.
    """
    if isinstance(value, str):
        return sys.intern(str(value))
    if isinstance(value, dict):
        return {_canonical(key): _canonical(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_canonical(entry) for entry in value]
    if isinstance(value, tuple):
        return tuple(_canonical(entry) for entry in value)
    return value.detach().clone() if hasattr(value, "detach") else value


def _link(link: Path, target: str) -> None:
    temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, link)
    files.sync_folder(link.parent)


def checkpoint_to_resume(folder: Path, asked: str | None) -> tuple[Path, dict[str, Any]] | None:
    """Return what training continues from: the asked checkpoint, else the newest in `folder`, or nothing.

    In `folder` one that is damaged is passed over, aloud: it costs its own epochs and not the training.
    """
    if asked:
        path = _asked_checkpoint(asked)
        return path, _resumable(path, read_checkpoint(path))
    for path in _newest_first(folder):
        try:
            checkpoint = read_checkpoint(path)
        except InputRefused as damage:
            say(f"Passing over a checkpoint: {damage.fact}: {path}")
        else:
            return path, _resumable(path, checkpoint)
    return None


def _resumable(path: Path, checkpoint: dict[str, Any]) -> dict[str, Any]:
    if isinstance(checkpoint.get("training"), dict):
        return checkpoint
    raise InputRefused(
        "checkpoint holds weights but no optimiser state, so training cannot continue from it",
        value=path,
        hint="train.pretrained_model_path starts a new training from its weights",
    )


def _asked_checkpoint(asked: str) -> Path:
    if not asked.endswith(RESUMABLE_SUFFIXES):
        raise UsageError(
            f"train.resume_training_checkpoint_path must end in {' or '.join(RESUMABLE_SUFFIXES)}",
            value=asked,
        )
    return Path(asked)


def _newest_first(folder: Path) -> list[Path]:
    newest = [link.resolve() for link in sorted(folder.glob("*_latest.pth"))]
    return list(dict.fromkeys([*newest, *sorted(folder.resolve().glob("model_epoch_*.pth"), reverse=True)]))
