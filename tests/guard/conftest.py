"""A plan, its approval, and a session in which the gate is engaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deft.guard import approval, engagement

RUN_ID = "run_20260102_030405"
SESSION = "s-1"


@pytest.fixture
def waiting(tmp_path: Path) -> dict[str, Any]:
    """Return a plan that waits in an engaged session."""
    workspace = tmp_path / "line 4"
    (workspace / "kpi").mkdir(parents=True)
    plan = {"kind": "loop", "run_id": RUN_ID, "workspace": str(workspace), "settings": {}}
    approval.save_pending(plan, SESSION)
    engagement.engage(SESSION, "test")
    return plan


@pytest.fixture
def approved(waiting: dict[str, Any]) -> dict[str, Any]:
    """Return a plan that the user approved in an engaged session."""
    approval.decide(waiting, "approved", "user-words", SESSION)
    return waiting


@pytest.fixture
def begun(approved: dict[str, Any]) -> Path:
    """Return the folder of a run that was approved, begun, and is not finished."""
    run = Path(engagement.run_folder(approved))
    run.mkdir(parents=True)
    (run / "plan.json").write_text(json.dumps(approved), encoding="utf-8")
    state = {"status": "in_progress", "stop_reason": None, "log": {"seq": 3}}
    (run / "deft_state.json").write_text(json.dumps(state), encoding="utf-8")
    approval.drop_pending(approved["workspace"])
    return run
