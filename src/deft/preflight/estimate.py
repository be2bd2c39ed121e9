"""Estimate what a run will cost, from the size of its tables and the speed of this machine."""

from __future__ import annotations

from typing import Any

from deft.platforms.base import Platform
from deft.preflight.inspect import Inspection
from deft.preflight.settings import Settings

CHECKPOINT_BYTES = 3_000_000
EMBEDDING_BYTES_A_ROW = 2_000
STAGE_SECONDS = 4.0
ROTATIONS = 4


def estimate(inspection: Inspection, settings: Settings, platform: Platform) -> dict[str, Any]:
    """Return seconds (None where the platform does not know its speed) and bytes on disk."""
    phases = settings["max_iterations"]["value"] + 1
    epochs = settings["num_epochs"]["value"]
    pool = len(inspection.pool) + inspection.pairs
    scored = sum(len(table) for split, table in inspection.tables.items() if split != "train")
    disk = phases * epochs * CHECKPOINT_BYTES + (phases - 1) * pool * EMBEDDING_BYTES_A_ROW
    speed = platform.pairs_a_second()
    if speed is None:
        return {"seconds": None, "disk_bytes": disk}
    embedded = (inspection.spec.get("train") or {}).get("embedded") or {}
    steps = epochs * int(embedded.get("steps_per_epoch", 20))
    # A training step costs about three forward passes; both checkpoints are scored over all rotations.
    trained = 3 * steps * settings["batch_size"]["value"] + 2 * epochs * _validation(inspection)
    a_phase = (trained + 2 * ROTATIONS * scored) / speed + 7 * STAGE_SECONDS
    return {"seconds": round(phases * a_phase + (phases - 1) * pool / speed), "disk_bytes": disk}


def _validation(inspection: Inspection) -> int:
    return len(inspection.tables["validation"])
