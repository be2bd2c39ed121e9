"""Plan, approve and open a run on a tiny workspace, on the stub platform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deft import files
from deft.metrics.kpi_summary import CONFUSION_AT_100, CONFUSION_AT_BEST, HISTOGRAM
from deft.preflight.plan import make_plan
from deft.progress import NullProgress
from deft.run.gate import approve, open_run, remember_drawn, save_pending
from deft.workspace.layout import RunFolder, Workspace
from stub_platform import StubPlatform
from tiny_workspace import make_workspace

TARGET = "FAR < 0.1% at recall = 100%"
PICTURES = dict.fromkeys((HISTOGRAM, CONFUSION_AT_BEST, CONFUSION_AT_100), b"drawn in other tests")
SETTINGS: dict[str, Any] = {"max_iterations": 2, "top_k_per_target": 2, "threads": 1, "synthetic_share": 0.5}


def use_stub(monkeypatch: pytest.MonkeyPatch, platform: StubPlatform | None = None) -> StubPlatform:
    """Let plans and loops of this process run on a stub platform."""
    stub = platform or StubPlatform()
    for module in ("deft.loop", "deft.preflight.plan"):
        monkeypatch.setattr(f"{module}.platform_named", lambda name, settings=None: stub)
    monkeypatch.setattr("deft.run.seeding.require_plain_checkpoint", lambda path: None)  # the stub's are JSON
    monkeypatch.setattr("deft.metrics.kpi_files._pictures", lambda analysis, bins: PICTURES)
    return stub


ENGINE_SIZES = {
    "train": (40, 12),
    "validation": (20, 4),
    "kpi": (24, 4),
    "holdout": (20, 4),
    "pool": (40, 10),
}
ENGINE_SETTINGS = {**SETTINGS, "max_iterations": 1, "precision": "32-true", "spot_check": False}


def open_engine_run(root: Path, **given: Any) -> RunFolder:
    """Return a new approved run of the real engine: three epochs of three steps on 16-pixel images."""
    workspace = make_workspace(root / "workspace", sizes=ENGINE_SIZES)
    spec = files.read_yaml(workspace.baseline_spec)
    spec["train"]["embedded"] = {"threads": 1, "steps_per_epoch": 3}
    spec["dataset"]["classify"].update(image_width=16, image_height=16, batch_size=16)
    files.write_yaml(workspace.baseline_spec, spec)
    return open_approved_run(workspace, **{**ENGINE_SETTINGS, "num_epochs": 3, **given})


def open_approved_run(workspace: Workspace, *, target: str = TARGET, **given: Any) -> RunFolder:
    """Return a new run of a workspace, approved the way the demo approves its own."""
    settings = {**SETTINGS, **given}
    seed = settings.pop("baseline", None)
    plan, _, _ = make_plan(workspace, target=target, platform="embedded", given=settings, baseline=seed)
    save_pending(plan)
    remember_drawn(workspace)
    approve(workspace, by="demo")
    return open_run(workspace)


def new_run(root: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> tuple[RunFolder, StubPlatform]:
    """Make a workspace and an approved run of it on a stub platform."""
    stub = use_stub(monkeypatch)
    shape = {name: given.pop(name) for name in ("sizes", "lights") if name in given}
    return open_approved_run(make_workspace(root / "workspace", **shape), **given), stub


SILENT = NullProgress()
