"""A small workspace with a plan, and shorthand for log entries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deft import files
from deft.run import gate
from deft.run.log import LoopLog
from deft.workspace.layout import RunFolder, Workspace

Entry = dict[str, Any]
RUN_ID = "run_20260102_030405"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "line 4"
    (root / "specs").mkdir(parents=True)
    (root / "kpi").mkdir()
    (root / "specs" / "baseline_spec.yaml").write_text("train:\n  num_epochs: 2\n")
    (root / "kpi" / "testing_set.csv").write_text("input_path,label\nb1,PASS\n")
    return Workspace.at(root)


@pytest.fixture
def plan(workspace: Workspace) -> dict[str, Any]:
    return {
        "kind": "loop",
        "run_id": RUN_ID,
        "workspace": str(workspace.root),
        "created_at": "2026-01-02T03:00:00Z",
        "target": {"text": "FAR<0.1%@recall=100%", "normal_form": "FAR < 0.1% at recall >= 100%"},
        "platform": "embedded",
        "settings": {
            "max_iterations": {"value": 2, "source": "default"},
            "num_epochs": {"value": 2, "source": "spec"},
        },
        "inputs": {
            "specs/baseline_spec.yaml": files.sha256_of_file(workspace.baseline_spec),
            "kpi/testing_set.csv": files.sha256_of_file(workspace.kpi_table),
            "kpi/holdout_set.csv": None,
        },
    }


@pytest.fixture
def run(workspace: Workspace) -> RunFolder:
    folder = RunFolder(workspace.results / RUN_ID)
    folder.root.mkdir(parents=True)
    return folder


@pytest.fixture
def ticking() -> Callable[[], datetime]:
    """A clock that advances a minute at every look, from 2026-01-02T03:04:05Z."""
    moments = iter(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC) + timedelta(minutes=n) for n in range(10_000))
    return lambda: next(moments)


@pytest.fixture
def log(run: RunFolder, ticking: Callable[[], datetime]) -> LoopLog:
    return LoopLog(run.log, clock=ticking)


@pytest.fixture
def stage() -> Callable[..., Entry]:
    def make(step: str, status: str = "ok", *, kind: str = "stage", attempt: int = 1, **values: Any) -> Entry:
        phase, name = step.split("/")
        return {
            "iter": phase,
            "stage": name,
            "status": status,
            "summary": f"{name} {status}",
            "duration_sec": 7,
            "attempt": attempt,
            "kind": kind,
            "outcome": {"values": values},
        }

    return make


@pytest.fixture
def note() -> Callable[..., Entry]:
    def make(summary: str = "seen", **outcome: Any) -> Entry:
        return {
            "iter": "baseline",
            "stage": "remark",
            "status": "ok",
            "summary": summary,
            "kind": "note",
            "outcome": outcome,
        }

    return make


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person at a terminal, whatever runs the tests."""
    monkeypatch.setattr(gate, "agent_marker", lambda: None)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
