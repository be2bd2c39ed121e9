"""The PostToolUse hook, for both of its events, started as the client starts it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Hook = Callable[..., Any]
Payload = Callable[..., dict[str, Any]]
RECORDED = (
    *("PostToolUse-Bash", "PostToolUse-Bash-in-subagent", "PostToolUse-Write", "PostToolUse-Agent"),
    *("PostToolUse-Skill", "PostToolUseFailure-Bash"),
)


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_event_brings_no_word(
    hook: Hook, payload: Payload, waiting: dict[str, Any], name: str
) -> None:
    done = hook("post_tool_use", payload(name))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_silent_failure_is_named_only_in_an_engaged_session(
    hook: Hook, payload: Payload, request: Any
) -> None:
    response = {"stdout": "Execution status: FAIL", "stderr": "", "interrupted": False}
    event = payload("PostToolUse-Bash", tool_input={"command": "deft status"}, tool_response=response)
    assert hook("post_tool_use", event).stdout == b""
    request.getfixturevalue("waiting")
    assert "whatever its exit code" in json.loads(hook("post_tool_use", event).stdout)["reason"]


def test_a_failed_command_brings_context(hook: Hook, payload: Payload, waiting: dict[str, Any]) -> None:
    event = payload(
        "PostToolUseFailure-Bash",
        tool_input={"command": "deft run"},
        error="Exit code 1\nNo CUDA-capable device",
    )
    found = json.loads(hook("post_tool_use", event).stdout)["hookSpecificOutput"]
    assert found["hookEventName"] == "PostToolUseFailure"
    assert "no GPU" in found["additionalContext"]


@pytest.mark.parametrize(
    "raw", [b"{", b" " * 10_000_000, b"\xff", b"{}"], ids=["JSON", "10 MB", "UTF-8", "fields"]
)
def test_a_damaged_event_brings_no_word(hook: Hook, waiting: dict[str, Any], raw: bytes) -> None:
    assert hook("post_tool_use", raw).stdout == b""
