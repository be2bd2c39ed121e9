"""Files of weights that a run reads besides its tables, and what lies beside them and decides what they do.

A plan is bound to their content like to that of a table. A hub id names no file: its publisher's word counts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deft import files
from deft.embedding.encoders import DEFT_PAIR
from deft.embedding.siglip_clip import DESCRIPTIONS, PICKLED_WEIGHTS, PREPROCESSING_FILES, SAFE_WEIGHTS
from deft.workspace.training_spec import BACKBONE_WEIGHTS

# What a loader would take before, or over, the files that were approved; a plan says that they are absent.
TAKEN_FIRST = (
    *("model.safetensors", "model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json", "adapter_config.json"),
    *PREPROCESSING_FILES,
)


def model_digests(spec: Mapping[str, Any], settings: Mapping[str, Any], root: Path) -> dict[str, str | None]:
    """Return the sha256 of each model file of a run, None where one must stay absent.

    Names are those of a plan's inputs: relative to the workspace `root`, absolute outside it.
    """
    found = [*backbone_files(spec), *encoder_files(settings)]
    absent = [folder / name for folder in _encoder_folder(settings) for name in TAKEN_FIRST]
    digests = {_name(path, root): files.sha256_of_file(path) for path in found}
    return {**{_name(path, root): None for path in absent}, **digests}


def backbone_files(spec: Mapping[str, Any]) -> list[Path]:
    """Return the file that a spec names as its pretrained backbone, if it names one that is here."""
    value: Any = spec
    for key in BACKBONE_WEIGHTS.split("."):
        value = (value or {}).get(key)
    if not isinstance(value, str) or not os.path.isabs(value):
        return []
    path = Path(os.path.normpath(value))
    return [path] if path.is_file() else []


def encoder_files(settings: Mapping[str, Any]) -> list[Path]:
    """Return what is loaded from the folder of a run's encoder; nothing for a hub id or the pair encoder."""
    kinds = (*DESCRIPTIONS, SAFE_WEIGHTS, PICKLED_WEIGHTS)
    found = {path for folder in _encoder_folder(settings) for kind in kinds for path in folder.glob(kind)}
    return sorted(path for path in found if path.is_file())


def _encoder_folder(settings: Mapping[str, Any]) -> list[Path]:
    """Return the folder that a plan's settings name, if they name one, as a list of at most one."""
    encoder, named = (settings.get(name, {}).get("value") for name in ("encoder", "encoder_path"))
    path = Path(str(named or ""))
    return [path] if encoder != DEFT_PAIR and path.is_absolute() and path.is_dir() else []


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
