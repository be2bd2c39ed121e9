"""Hooks as the client starts them: a process of their own, the recorded payloads on stdin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SESSION = "0f3a4711-22aa-4bcd-9e00-1234567890ab"
Hook = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def payload(shared: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a recorded payload with this test's places in it, changed as asked."""

    def load(name: str, **changes: Any) -> dict[str, Any]:
        text = (shared / "fixtures" / "hook-payloads" / f"{name}.json").read_text(encoding="utf-8")
        for placeholder, value in (
            ("<SESSION_ID>", SESSION),
            ("<PROJECT>", str(tmp_path)),
            ("<HOME>", str(tmp_path)),
        ):
            text = text.replace(placeholder, value)
        stdin: dict[str, Any] = json.loads(text)["stdin"]
        return {**stdin, **changes}

    return load


@pytest.fixture
def hook(tmp_path: Path) -> Hook:
    """Start a hook with an event, or with raw bytes, and return what it said."""

    def start(
        name: str, event: dict[str, Any] | bytes, **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        kept = {name: os.environ[name] for name in ("HOME", "XDG_STATE_HOME", "PATH") if name in os.environ}
        return subprocess.run(
            [sys.executable, str(REPOSITORY / "hooks" / f"{name}.py")],
            input=event if isinstance(event, bytes) else json.dumps(event).encode(),
            capture_output=True,
            env={**kept, "CLAUDECODE": "1", "CLAUDE_CODE_SESSION_ID": SESSION, **environment},
            cwd=tmp_path,
            check=False,
        )

    return start


@pytest.fixture
def waiting(tmp_path: Path) -> dict[str, Any]:
    """Return a plan that waits in the recorded session."""
    from deft.guard import approval

    workspace = tmp_path / "line 4"
    workspace.mkdir()
    plan = {"kind": "loop", "run_id": "run_20260102_030405", "workspace": str(workspace), "settings": {}}
    approval.save_pending(plan, SESSION)
    return plan
