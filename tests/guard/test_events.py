"""What a hook reads and says."""

from __future__ import annotations

import json

import pytest

from deft.guard.events import (
    MAX_BYTES,
    MAX_TEXT,
    BadEvent,
    advised,
    blocked,
    denied,
    end,
    read_event,
    shown,
    text_field,
)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[1]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b'{"a": "\xff"}',
        b" " * (MAX_BYTES + 1),
        b"[" * 100_000,
    ],
    ids=["empty", "open", "list", "null", "text", "bytes", "bytes inside", "10 MB", "deep"],
)
def test_what_the_client_never_sends_is_refused(raw: bytes) -> None:
    with pytest.raises(BadEvent):
        read_event(raw)


def test_an_event_is_an_object() -> None:
    assert read_event('{"prompt": "gö"}'.encode()) == {"prompt": "gö"}


@pytest.mark.parametrize("record", [{}, {"a": None}, {"a": 3}, {"a": ""}])
def test_a_missing_field_is_named(record: dict[str, object]) -> None:
    with pytest.raises(BadEvent, match="no a"):
        text_field(record, "a")


def test_a_denial_is_the_client_s_own_form() -> None:
    decision = json.loads(denied("why").output)["hookSpecificOutput"]
    assert decision == {
        "hookEventName": "PreToolUse",
        "permissionDecision": "deny",
        "permissionDecisionReason": "why",
    }


def test_a_fault_ends_in_exit_2_with_its_reason_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        end(blocked("gö"))
    assert ended.value.code == 2
    assert capfd.readouterr() == ("", "deft gate: gö")


def test_advice_takes_the_form_that_each_event_delivers() -> None:
    assert json.loads(advised("PostToolUse", ["a", "b"]).output) == {"decision": "block", "reason": "a\nb"}
    added = json.loads(advised("PostToolUseFailure", ["a"]).output)["hookSpecificOutput"]
    assert added == {"hookEventName": "PostToolUseFailure", "additionalContext": "a"}
    assert advised("PostToolUse", []).output == ""


def test_text_from_outside_is_printable_and_bounded() -> None:
    assert shown("a\x1b[31m\u202eb\nc") == "ab c"
    assert len(shown("x" * 9999)) == MAX_TEXT
