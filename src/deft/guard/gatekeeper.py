"""The decision of the PreToolUse hook: whether the gate is engaged, and then whether a call may go ahead.

Standard library only, Python 3.8 on. In a session that has nothing to do with this plugin it says nothing and
loads little; where it guards, whatever goes wrong blocks the call.
"""

from __future__ import annotations

from deft.guard import engagement
from deft.guard.events import SILENT, BadEvent, blocked, denied, read_event
from deft.guard.skills import is_our_skill

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Any, Mapping

    from deft.guard.events import Answer

OWN_FAULT = "a fault of its own; nothing was let through"


def pre_tool_use(raw: bytes, environment: Mapping[str, str], plugin_root: str) -> Answer:
    """Answer a PreToolUse event: silence lets the call pass."""
    session = engagement.session_of({}, environment)
    try:
        event = read_event(raw)
        session = engagement.session_of(event, environment)
        return _answer(event, session, plugin_root)
    except BadEvent as fault:
        return blocked(str(fault)) if engagement.is_engaged(session) else SILENT
    except Exception as fault:  # noqa: BLE001 - a gate that fails must stay shut
        text = "{} ({})".format(OWN_FAULT, type(fault).__name__)
        return blocked(text) if engagement.is_engaged(session) else SILENT


def _answer(event: dict[str, Any], session: str | None, plugin_root: str) -> Answer:
    reason = reason_to_engage(event, plugin_root)
    if reason and session:
        try:
            engagement.engage(session, reason)
        except OSError as fault:
            return blocked("it cannot be kept ({})".format(fault))
    if not reason and not engagement.is_engaged(session):
        return SILENT
    return _judged(event, session, plugin_root)


def reason_to_engage(event: Mapping[str, Any], plugin_root: str) -> str | None:
    """Return why this call engages the gate: a skill of this plugin, or `deft preflight`; else None."""
    given = event.get("tool_input")
    values = given if isinstance(given, dict) else {}
    skill, command = values.get("skill"), values.get("command")
    if event.get("tool_name") == "Skill" and isinstance(skill, str) and is_our_skill(skill, plugin_root):
        return skill
    if isinstance(command, str) and "deft" in command and "preflight" in command:
        from deft.guard.tool_calls import calls_preflight

        return "preflight" if calls_preflight(command, str(event.get("cwd") or "/"), plugin_root) else None
    return None


def _judged(event: dict[str, Any], session: str | None, plugin_root: str) -> Answer:
    from deft.guard.launches import Refused
    from deft.guard.messages import refusal
    from deft.guard.tool_calls import ToolCall

    try:
        ToolCall(event, session, plugin_root).judge()
    except Refused as refused:
        return denied(refusal(str(refused), refused.program, engagement.plan_of(session)))
    return SILENT
