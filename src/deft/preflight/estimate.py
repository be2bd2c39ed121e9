"""Estimate what a run will cost on disk, from its checkpoints and the size of its tables.

Nothing is said of minutes: a probe of a second knows neither a spec's network and image size nor the cost of
SigLIP, and a figure that differs from call to call would be part of what is approved.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deft.platforms.base import Check
from deft.preflight.inspect import Inspection
from deft.preflight.settings import Settings
from deft.tools.visual_changenet.backbones import TRANSFORMERS
from deft.workspace.training_spec import is_embedded_engine

OWN_NETWORK_BYTES = 3_000_000
"""A checkpoint of the embedded engine's own network (measured)."""
COMPARISON_WEIGHTS = 8_000_000
"""Weights beside a backbone: TAO's learnable difference modules at four levels."""
WEIGHT_BYTES, TRAINED_WEIGHT_BYTES = 4, 12
"""A weight in float32; with AdamW's two moments where it is trained."""
EMBEDDING_BYTES_A_ROW = 2_000
Cost = dict[str, int]


def estimate(inspection: Inspection, settings: Settings) -> Cost:
    """Return how many checkpoints will stay and, where the backbone is known, what they and mining take."""
    phases = settings["max_iterations"]["value"] + 1
    pool = len(inspection.pool) + inspection.pairs
    count = phases * _kept(inspection.spec.get("train") or {}, settings["num_epochs"]["value"])
    each = checkpoint_bytes(inspection.spec)
    cost = {"checkpoints": count}
    if each is not None:
        cost["disk_bytes"] = count * each + (phases - 1) * pool * EMBEDDING_BYTES_A_ROW
    return cost


def _kept(train: Mapping[str, Any], epochs: int) -> int:
    interval = train.get("checkpoint_interval")
    counts_epochs = train.get("checkpoint_interval_unit", "epoch") == "epoch"
    if counts_epochs and isinstance(interval, int) and interval > 0:
        return epochs // min(interval, epochs)
    return epochs


def checkpoint_bytes(spec: Mapping[str, Any]) -> int | None:
    """Return the size of a checkpoint with its optimiser; None for a backbone whose size is not known."""
    if is_embedded_engine(spec):
        return OWN_NETWORK_BYTES
    backbone = (spec.get("model") or {}).get("backbone") or {}
    shape = TRANSFORMERS.get(str(backbone.get("type")))
    if shape is None:
        return None
    each = WEIGHT_BYTES if backbone.get("freeze_backbone") else TRAINED_WEIGHT_BYTES
    return shape.weights * each + COMPARISON_WEIGHTS * TRAINED_WEIGHT_BYTES


def room_check(cost: Cost, workspace: Path) -> list[Check]:
    """Compare what a run will take with what is free; nothing where the former is not known."""
    if "disk_bytes" not in cost:
        return []
    free, wanted = shutil.disk_usage(workspace).free, cost["disk_bytes"]
    detail = f"{free / 1e9:.1f} GB free, about {wanted / 1e9:.1f} GB wanted"
    cure = "free disk, or keep fewer checkpoints: train.checkpoint_interval in the spec, --max-iterations"
    return [Check("disk for this run", free >= wanted, detail, cure)]
