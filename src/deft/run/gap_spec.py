"""The spec of a gap analysis from plan and incumbent: written by the stage, derived again by the audit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deft.metrics.target import Target

SWEEP = -1.0
"""Not a threshold: it asks the tool to find the one with the best F1 that reaches the wanted recall."""
Record = dict[str, Any]


def gap_limits(plan: Mapping[str, Any]) -> Record:
    """Return what a plan decides about every gap analysis."""
    return {
        "top_k_per_label": plan["settings"]["top_k_per_label"]["value"],
        "min_recall": Target.from_record(plan["target"]).recall_floor,
    }


def gap_spec(plan: Mapping[str, Any], incumbent: Mapping[str, Any], images: str) -> Record:
    """Derive the spec of the analysis of an incumbent's scores, whose images lie below `images`."""
    return {
        "inference_results_dir": str(Path(incumbent["inference_csv"]).parent),
        "train_config": incumbent["training_spec"],
        "kpi_media_path": images,
        "threshold": SWEEP,
        **gap_limits(plan),
    }
