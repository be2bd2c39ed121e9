"""What the hooks do around the gate: hear the user's word, look at what was done, remind of work left.

Standard library only, Python 3.8 on.
"""

from __future__ import annotations

import json
import os
import shlex

from deft.guard import approval, engagement, reports
from deft.guard.advice import after_bash
from deft.guard.events import SILENT, Answer, BadEvent, advised, blocked, read_event, shown
from deft.guard.packaging import NotPackaged, package
from deft.guard.skills import typed_skill

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Any, Mapping


# --- UserPromptSubmit ----------------------------------------------------------------------------------


def user_prompt_submit(raw: bytes, environment: Mapping[str, str], plugin_root: str) -> Answer:
    """Engage on a typed skill; record an approval or a refusal of the plan that waits, and say so."""
    try:
        event = read_event(raw)
    except BadEvent:
        return SILENT  # nothing was heard, so nothing is approved
    session, prompt = engagement.session_of(event, environment), event.get("prompt")
    if session is None or not isinstance(prompt, str):
        return SILENT
    skill = typed_skill(prompt, plugin_root)
    try:
        if skill is not None:
            engagement.engage(session, skill)
        return _heard(approval.hear(prompt, session), engagement.plan_of(session))
    except (OSError, approval.ApprovalFault, KeyError) as fault:
        return _not_heard(skill, session, fault)


def _heard(record: dict[str, Any] | None, plan: dict[str, Any] | None) -> Answer:
    if record is None:
        return SILENT
    workspace = shlex.quote(record["workspace"])
    followed = str((plan or {}).get("command") or "deft run {} --until judgement".format(workspace))
    if record["decision"] != "approved":
        followed = "nothing may start; ask what to change and make another plan"
    what = "{} the plan of {}".format(record["decision"], record["run_id"])
    return Answer("deft: the user {}; recorded. Next: {}\n".format(what, shown(followed)))


def _not_heard(skill: str | None, session: str, fault: Exception) -> Answer:
    if skill is not None and not engagement.is_engaged(session):
        return blocked("{} cannot be guarded ({})".format(skill, fault))
    if engagement.plan_of(session) is None:
        return SILENT
    return Answer("deft: the user's answer could not be recorded ({}); nothing is approved\n".format(fault))


# --- PostToolUse, PostToolUseFailure -------------------------------------------------------------------


def post_tool_use(raw: bytes, environment: Mapping[str, str], plugin_root: str) -> Answer:
    """Advise on what a command printed; check and package a report that was just written."""
    try:
        event = read_event(raw)
    except BadEvent:
        return SILENT  # the tool has run: there is nothing left to guard
    session = engagement.session_of(event, environment)
    if session is None or not engagement.is_engaged(session):
        return SILENT
    if event.get("tool_name") == "Bash":
        return after_bash(event)
    given = event.get("tool_input")
    path = given.get("file_path") if isinstance(given, dict) else None
    if not isinstance(path, str) or not reports.is_report(_absolute(path, event)):
        return SILENT
    report = _absolute(path, event)
    noted = engagement.memory_of(session).get("reports", [])
    engagement.remember(session, reports=[*(other for other in noted if other != report), report])
    return advised("PostToolUse", _look_at(report, event, environment, plugin_root))


def _absolute(path: str, event: Mapping[str, Any]) -> str:
    return os.path.join(str(event.get("cwd") or "/"), path)


def _look_at(
    report: str, event: Mapping[str, Any], environment: Mapping[str, str], plugin_root: str
) -> list[str]:
    """Return what is wrong with a report; package it if nothing is."""
    name = os.path.basename(report)
    session = engagement.session_of(event, environment)
    found = ["{}: {}.".format(name, problem) for problem in reports.problems_of(report)]
    if found:
        return found
    try:
        package(report, plugin_root, str(event.get("transcript_path") or ""), environment, session)
    except (OSError, NotPackaged) as fault:
        found.append("{} was not packaged: {}.".format(name, fault))
    return found


# --- Stop ----------------------------------------------------------------------------------------------


def stop(raw: bytes, environment: Mapping[str, str], plugin_root: str) -> Answer:
    """Check and package the session's reports again; remind once of a run with work left."""
    try:
        event = read_event(raw)
    except BadEvent:
        return SILENT
    session = engagement.session_of(event, environment)
    if session is None or not engagement.is_engaged(session):
        return SILENT
    noted = engagement.memory_of(session).get("reports", [])
    lines = []
    for report in [path for path in noted if isinstance(path, str) and os.path.isfile(path)]:
        lines += _look_at(report, event, environment, plugin_root)
    lines += _reminder(session)
    if event.get("stop_hook_active") is not False or not lines:
        return SILENT
    return Answer(json.dumps({"decision": "block", "reason": "\n".join(map(shown, lines))}))


def _reminder(session: str) -> list[str]:
    """Return a line on the run that is not finished, once for each state that it is in."""
    plan = engagement.approved_plan(session)
    state = engagement.unfinished_state(plan) if plan is not None else None
    if plan is None or state is None:
        return []
    standing = [plan["run_id"], state.get("log")]
    if engagement.memory_of(session).get("reminded") == standing:
        return []
    engagement.remember(session, reminded=standing)
    command = "deft run {} --until judgement".format(shlex.quote(engagement.run_folder(plan)))
    return [
        "deft: {} has work left. Next: {}; or tell the user why it stays so.".format(plan["run_id"], command)
    ]
