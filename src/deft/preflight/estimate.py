"""Estimate what a run will cost on disk, from the size of its tables.

Nothing is said of minutes: a probe of a second knows neither a spec's network and image size nor the cost of
SigLIP, and a figure that differs from call to call would be part of what is approved.
"""

from __future__ import annotations

from deft.preflight.inspect import Inspection
from deft.preflight.settings import Settings

CHECKPOINT_BYTES = 3_000_000
EMBEDDING_BYTES_A_ROW = 2_000


def estimate(inspection: Inspection, settings: Settings) -> dict[str, int]:
    """Return the bytes that checkpoints and embeddings will take."""
    phases = settings["max_iterations"]["value"] + 1
    epochs = settings["num_epochs"]["value"]
    pool = len(inspection.pool) + inspection.pairs
    return {"disk_bytes": phases * epochs * CHECKPOINT_BYTES + (phases - 1) * pool * EMBEDDING_BYTES_A_ROW}
