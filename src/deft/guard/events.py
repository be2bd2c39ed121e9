"""What the client tells a hook, and what a hook answers.

Standard library only, Python 3.8 on. The answers are those that contracts with the client show to work:
a deny on PreToolUse, a block with its reason on PostToolUse and Stop, added context after a failure.
"""

from __future__ import annotations

import json
import sys

from deft.untrusted import untrusted

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Any

MAX_BYTES = 8 * 1024 * 1024
MAX_TEXT = 2000


class BadEvent(Exception):
    """An event that is not what the client sends; the text says why."""


class Answer:
    """What a hook says and the code it ends with."""

    __slots__ = ("code", "error", "output")

    def __init__(self, output: str = "", code: int = 0, error: str = "") -> None:
        self.output, self.code, self.error = output, code, error


SILENT = Answer()


def read_event(raw: bytes) -> dict[str, Any]:
    """Return an event; raises BadEvent for what is too long, no UTF-8, no JSON or no object."""
    if len(raw) > MAX_BYTES:
        raise BadEvent("the event is longer than {} bytes".format(MAX_BYTES))
    try:
        event = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise BadEvent("the event is not JSON in UTF-8") from None
    if not isinstance(event, dict):
        raise BadEvent("the event is not a JSON object")
    return event


def text_field(record: dict[str, Any], name: str) -> str:
    """Return a text of an event; raises BadEvent if it is missing."""
    value = record.get(name)
    if not isinstance(value, str) or not value:
        raise BadEvent("the event has no {}".format(name))
    return value


def shown(text: str) -> str:
    """Return a text for the model: visible, on one line, and not longer than it should read."""
    return untrusted(text, MAX_TEXT)


def denied(reason: str) -> Answer:
    """Return the answer that keeps a tool from running and tells the model why."""
    decision = {"permissionDecision": "deny", "permissionDecisionReason": shown(reason)}
    return Answer(json.dumps({"hookSpecificOutput": dict(decision, hookEventName="PreToolUse")}))


def blocked(reason: str) -> Answer:
    """Return the answer of a hook that cannot do its work and therefore lets nothing through."""
    return Answer("", 2, "deft gate: " + shown(reason))


def advised(event: str, lines: list[str]) -> Answer:
    """Return the answer that adds lines to what the model sees of a tool that has run; or none."""
    if not lines:
        return SILENT
    text = "\n".join(shown(line) for line in lines)
    if event == "PostToolUseFailure":
        return Answer(json.dumps({"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}}))
    return Answer(json.dumps({"decision": "block", "reason": text}))


def end(answer: Answer) -> None:
    """Say an answer and end the process with its code."""
    sys.stdout.buffer.write(answer.output.encode("utf-8", "replace"))
    sys.stderr.buffer.write(answer.error.encode("utf-8", "replace"))
    sys.stdout.flush()
    sys.exit(answer.code)
