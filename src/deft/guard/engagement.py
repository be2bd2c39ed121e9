"""Whether the gate is engaged in a session, and whether the user has approved what the session is about.

Standard library only, Python 3.8 on. A session is engaged once a skill of this plugin was invoked or
`deft preflight` ran in it; in every other session the hooks are silent. What cannot be read is engaged.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re

from deft.guard import approval

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Any, Mapping

RUN_NAME = re.compile(r"run_\d{8}_\d{6}")
KEPT_SECONDS = 30 * approval.DAY_SECONDS


def session_of(payload: Mapping[str, Any], environment: Mapping[str, str]) -> str | None:
    """Return the client's session: the event's own, else the one in the environment, else None."""
    given = payload.get("session_id") or environment.get("CLAUDE_CODE_SESSION_ID")
    return given if isinstance(given, str) and given else None


def _file_name(session: str) -> str:
    if approval.SAFE_NAME.fullmatch(session):
        return session + ".json"
    return hashlib.sha256(session.encode("utf-8", "surrogatepass")).hexdigest() + ".json"


def _marker(session: str) -> str:
    return os.path.join(approval.state_home(), "engaged", _file_name(session))


def _pointer(session: str) -> str:
    return os.path.join(approval.state_home(), "sessions", _file_name(session))


def engage(session: str, reason: str) -> None:
    """Engage the gate in a session; raises OSError when that cannot be kept."""
    _forget_old()
    approval.write_record(_marker(session), dict(memory_of(session), session_id=session, reason=reason))


def _forget_old() -> None:
    folder = os.path.join(approval.state_home(), "engaged")
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if entry.stat().st_mtime < approval.now() - KEPT_SECONDS:
                os.unlink(entry.path)


def is_engaged(session: str | None) -> bool:
    """Say whether the gate is engaged; of an unknown session, whether it is in any."""
    if session is None:
        return _holds_entries(os.path.join(approval.state_home(), "engaged"))
    return _exists(_marker(session)) or _exists(_pointer(session))


def _exists(path: str) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    return True


def _holds_entries(folder: str) -> bool:
    try:
        return bool(os.listdir(folder))
    except FileNotFoundError:
        return False
    except OSError:
        return True


# --- what a session remembers --------------------------------------------------------------------------


def memory_of(session: str) -> dict[str, Any]:
    """Return what the hooks noted about a session."""
    return approval.read_record(_marker(session)) or {}


def remember(session: str, **notes: Any) -> None:
    """Add to what is noted about a session."""
    approval.write_record(_marker(session), dict(memory_of(session), **notes))


# --- approval ------------------------------------------------------------------------------------------


def plan_of(session: str | None) -> dict[str, Any] | None:
    """Return the plan that was last made or joined in a session, approved or not."""
    pointer = approval.read_record(_pointer(session)) if session else None
    try:
        return approval.stored_plan(pointer["plan_sha256"]) if pointer else None
    except (approval.ApprovalFault, KeyError):
        return None


def approved_plan(session: str | None) -> dict[str, Any] | None:
    """Return the plan of a session if the user's approval of it holds."""
    plan = plan_of(session)
    return plan if plan is not None and is_approved(plan) else None


def is_approved(plan: dict[str, Any]) -> bool:
    """Say whether the user's approval of exactly this plan holds."""
    try:
        approval.check(approval.decision_on(plan), plan)
    except (approval.ApprovalFault, KeyError, TypeError, OSError):
        return False
    return True


def plan_at(place: str) -> dict[str, Any] | None:
    """Return the plan of a folder of results, or in a workspace the one that `deft run` would follow."""
    found = os.path.realpath(place)
    if os.path.lexists(os.path.join(found, "plan.json")):
        return approval.read_record(os.path.join(found, "plan.json"))
    waiting = approval.pending_plan(found)
    if waiting is not None:
        return waiting
    runs = [name for name in _listing(os.path.join(found, "results")) if RUN_NAME.fullmatch(name)]
    newest = os.path.join(found, "results", max(runs), "plan.json") if runs else ""
    return approval.read_record(newest)


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def join(session: str, place: str) -> bool:
    """Let a session go on with the approved run of a place; returns whether there is one."""
    plan = plan_at(place)
    if plan is None or not is_approved(plan):
        return False
    digest = approval.plan_sha256(plan)
    if approval.stored_plan(digest) is None:
        return False
    if approval.plan_of_session(session) is not None:
        return True  # the plan that waits here keeps its place: the user's next word is about it
    pointer = {"plan_sha256": digest, "workspace": os.path.realpath(plan["workspace"])}
    approval.write_record(_pointer(session), dict(pointer, session_id=session, saved_at=approval.now()))
    return True


# --- the run -------------------------------------------------------------------------------------------


def run_folder(plan: Mapping[str, Any]) -> str:
    """Return the folder of a plan's run, whether or not it exists yet."""
    return os.path.join(os.path.realpath(plan["workspace"]), "results", str(plan["run_id"]))


def unfinished_state(plan: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the state of a plan's run if it was begun and has work left, else None."""
    state = approval.read_record(os.path.join(run_folder(plan), "deft_state.json"))
    if state is None or state.get("stop_reason") is not None or state.get("status") == "complete":
        return None
    return state
