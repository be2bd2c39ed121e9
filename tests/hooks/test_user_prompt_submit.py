"""The UserPromptSubmit hook, started as the client starts it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deft.guard import approval

Hook = Callable[..., Any]
Payload = Callable[..., dict[str, Any]]


def test_the_recorded_prompt_is_left_alone(hook: Hook, payload: Payload, waiting: dict[str, Any]) -> None:
    done = hook("user_prompt_submit", payload("UserPromptSubmit"))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_user_s_go_is_recorded_and_told(hook: Hook, payload: Payload, waiting: dict[str, Any]) -> None:
    done = hook("user_prompt_submit", payload("UserPromptSubmit", prompt="Go!"))
    assert done.stdout.startswith(b"deft: the user approved the plan of run_20260102_030405; recorded.")
    approval.check(approval.decision_on(waiting), waiting)


def test_a_typed_skill_engages_the_gate(hook: Hook, payload: Payload) -> None:
    hook("user_prompt_submit", payload("UserPromptSubmit", prompt="/deft-aoi:tao-run-deft-aoi please"))
    assert b'"deny"' in hook("pre_tool_use", payload("PreToolUse-Write")).stdout


@pytest.mark.parametrize(
    "raw", [b"{", b" " * 10_000_000, b"\xff", b"{}"], ids=["JSON", "10 MB", "UTF-8", "fields"]
)
def test_a_damaged_event_approves_nothing(hook: Hook, waiting: dict[str, Any], raw: bytes) -> None:
    assert hook("user_prompt_submit", raw).stdout == b""
    assert approval.decision_on(waiting) is None
