"""Make the plan: everything that will happen, in one record that an approval is bound to by hash."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from deft.embedding.model_files import model_digests
from deft.errors import InputRefused
from deft.metrics.target import parse_target, sample_size_advice
from deft.platforms.base import PRECISIONS, Check, Platform
from deft.platforms.embedded import EmbeddedPlatform
from deft.platforms.registry import canonical_name, platform_named
from deft.platforms.settings import read_platform_settings
from deft.preflight.encoder import encoder_checks, with_readable_encoder
from deft.preflight.engine_check import require_trainable_spec
from deft.preflight.estimate import estimate, room_check
from deft.preflight.inspect import Inspection, inspect_workspace
from deft.preflight.settings import DEFAULT_TARGET, Facts, settle
from deft.run.evaluation import PROMOTION
from deft.run.seeding import baseline_record
from deft.run.transitions import ORDER_BASELINE, ORDER_ITERATION
from deft.versions import component_versions
from deft.workspace.layout import Workspace, phase_name
from deft.workspace.training_spec import is_embedded_engine, require_no_whole_weights

PLAN_VERSION = 1
RUN_FORMAT = "run_%Y%m%d_%H%M%S"
Record = dict[str, Any]


def make_plan(
    workspace: Workspace,
    *,
    target: str | None,
    platform: str,
    given: Mapping[str, Any],
    baseline: Path | None = None,
) -> tuple[Record, Inspection, list[Check]]:
    """Check a workspace and return the plan of a run, what was seen, and the platform's checks.

    Writes nothing. Raises InputRefused and UsageError for the first thing that does not hold.
    """
    wanted = parse_target(target or DEFAULT_TARGET)
    platform = canonical_name(platform)
    chosen = read_platform_settings(workspace.root, platform)
    machine = platform_named(platform, chosen)
    inspection = inspect_workspace(workspace)
    if baseline is None:
        require_no_whole_weights(inspection.spec, workspace)
    settings = with_readable_encoder(settle(given, _facts(inspection, machine)))
    if machine.runs_own_engine:
        require_trainable_spec(inspection, settings)
    cost = estimate(inspection, settings)
    created = datetime.now(UTC)
    plan = {
        "version": PLAN_VERSION,
        "kind": "loop",
        "run_id": _run_id(workspace),
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "workspace": str(workspace.root),
        "target": {**wanted.to_record(), "source": "user" if target else "default"},
        "promotion": list(PROMOTION),
        "platform": platform,
        "platform_settings": {**machine.pinned(), **chosen},
        "settings": {**settings, "images_dir": {"value": str(workspace.images), "source": "derived"}},
        "inputs": {**inspection.inputs, **model_digests(inspection.spec, settings, workspace.root)},
        "image_digests": inspection.images,
        "pool": {
            "digest": inspection.images["mining pool and pairs"],
            "rows": len(inspection.pool),
            "pairs": inspection.pairs,
        },
        "baseline": baseline_record(baseline, own_engine=machine.runs_own_engine),
        "tool_calls": tool_calls(settings["max_iterations"]["value"], "holdout" in inspection.tables),
        "versions": component_versions(),
        "estimate": cost,
        "advice": sample_size_advice(wanted, *inspection.rows("kpi")),
    }
    own = encoder_checks(settings) if machine.name == EmbeddedPlatform.name else []
    checks = [*machine.checks(workspace.root), *room_check(cost, workspace.root), *own]
    return plan, inspection, checks


def _run_id(workspace: Workspace) -> str:
    """Name the run after this moment, or the second after the newest run: names keep the order of runs."""
    names = [run.root.name for run in workspace.runs()]
    name = datetime.now().strftime(RUN_FORMAT)
    if names and name <= names[-1]:
        name = _second_after(names[-1])
    return name


def _second_after(name: str) -> str:
    try:
        return (datetime.strptime(name, RUN_FORMAT) + timedelta(seconds=1)).strftime(RUN_FORMAT)
    except (ValueError, OverflowError):
        raise InputRefused("run folder is named after no moment", value=name, hint="rename it") from None


def _facts(inspection: Inspection, platform: Platform) -> Facts:
    scored = [len(table) for split, table in inspection.tables.items() if split != "train"]
    engine = is_embedded_engine(inspection.spec)
    return Facts(
        spec=inspection.spec,
        smallest_scored_split=min(scored),
        training_rows=len(inspection.tables["train"]),
        default_encoder=platform.default_encoder if engine else "SigLIP",
        gpus=gpu_count(),
        precision=platform.probe_precision() if engine else None,
        precisions=PRECISIONS if platform.runs_own_engine else (),
    )


def gpu_count() -> int:
    """Return the number of GPUs the driver's own tool lists; 0 where there is no driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=30, check=False)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def tool_calls(max_iterations: int, has_holdout: bool) -> list[Record]:
    """List every tool call the loop can come to make: what is approved is what can happen."""
    scored = 2 * (3 if has_holdout else 2)
    by_stage = {
        "train": [("visual_changenet train", 1)],
        "evaluate": [("visual_changenet inference", scored)],
        "rca": [("gap_analysis vcn_aoi", 1)],
        "data_mining": [("embedding image_embeddings", 2)],
    }
    calls = []
    for number in range(max_iterations + 1):
        for stage in ORDER_ITERATION if number else ORDER_BASELINE:
            for name, at_most in by_stage.get(stage, []):
                call = {"phase": phase_name(number), "stage": stage, "call": name, "at_most": at_most}
                calls.append(call)
    return calls
