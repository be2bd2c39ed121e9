"""The Stop hook, started as the client starts it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deft.guard import approval

Hook = Callable[..., Any]
Payload = Callable[..., dict[str, Any]]


@pytest.fixture
def begun(waiting: dict[str, Any]) -> Path:
    """Return the folder of an approved run with work left."""
    approval.decide(waiting, "approved", "user-words")
    run = Path(waiting["workspace"]) / "results" / waiting["run_id"]
    run.mkdir(parents=True)
    (run / "deft_state.json").write_text(json.dumps({"status": "in_progress", "stop_reason": None}))
    return run


def test_work_left_is_named_once_and_never_in_a_loop(hook: Hook, payload: Payload, begun: Path) -> None:
    found = json.loads(hook("stop", payload("Stop")).stdout)
    assert found["decision"] == "block"
    assert f"deft run '{begun}'" in found["reason"]
    assert hook("stop", payload("Stop-after-block")).stdout == b""
    assert hook("stop", payload("Stop")).stdout == b""


def test_a_session_that_waits_for_the_user_may_stop(
    hook: Hook, payload: Payload, waiting: dict[str, Any]
) -> None:
    assert hook("stop", payload("Stop")).stdout == b""


@pytest.mark.parametrize(
    "raw", [b"{", b" " * 10_000_000, b"\xff", b"{}"], ids=["JSON", "10 MB", "UTF-8", "fields"]
)
def test_a_damaged_event_lets_the_session_end(hook: Hook, begun: Path, raw: bytes) -> None:
    done = hook("stop", raw)
    assert (done.returncode, b"block" in done.stdout and raw != b"{}") == (0, False)
