"""The gate: a plan waits outside the workspace until the user approves it; every side effect asks here first.

The records and their signatures are `deft.guard.approval`'s (the hook that hears the user's word needs them
without this package's environment); here they become errors that say what is wrong, and are compared with
the disk.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from deft import files
from deft.errors import NotApproved, StateConflict, UsageError
from deft.guard import approval
from deft.guard.agent import agent_marker
from deft.run.log import LoopLog, read
from deft.run.state import write_state
from deft.schemas import validate
from deft.workspace.layout import RunFolder, Workspace

Plan = dict[str, Any]
Record = dict[str, Any]
By = Literal["terminal", "user-words", "demo"]

LOOP = "loop"
MISSING = "<absent>"


def save_pending(plan: Plan, session_id: str | None = None) -> str:
    """Keep a plan, outside its workspace, until the user decides; returns its sha256."""
    validate(plan, "plan")
    try:
        return approval.save_pending(plan, session_id)
    except approval.ApprovalFault as fault:
        raise UsageError("plan cannot be kept", value=fault) from None


def pending_for(workspace: Workspace) -> Plan | None:
    """Return the plan that waits for a workspace, or None."""
    return approval.pending_plan(str(workspace.root))


def pending_run(workspace: Workspace) -> Plan | None:
    """Return the plan that waits for a workspace where it is a whole run's, not one step's."""
    plan = pending_for(workspace)
    return plan if plan is not None and plan.get("kind", LOOP) == LOOP else None


def waiting_plan(workspace: Workspace) -> Plan:
    """Return the plan that waits for a workspace; raises NotApproved with the way to one."""
    plan = pending_for(workspace)
    if plan is None:
        raise _nothing_waits(workspace)
    return plan


def _nothing_waits(workspace: Workspace) -> NotApproved:
    where = shlex.quote(str(workspace.root))
    return NotApproved(
        "no plan waits for this workspace", value=workspace.root, hint=f"deft preflight {where}"
    )


def approve(workspace: Workspace, *, by: By, session_id: str | None = None) -> Record:
    """Record the approval of the plan that waits; returns the signed record.

    `terminal` holds only at a terminal and outside any agent, `demo` only for a workspace that `deft demo`
    drew. Raises NotApproved with the reason.
    """
    plan = waiting_plan(workspace)
    if by == "terminal":
        require_terminal()
    if by == "demo":
        _require_drawn(workspace)
    try:
        return approval.decide(plan, "approved", by, session_id)
    except approval.ApprovalFault as fault:
        raise NotApproved("approval cannot be recorded", value=fault) from None


def require_terminal() -> None:
    """Refuse unless a person sits at a terminal: an agent's shell cannot give an approval."""
    marker = agent_marker()
    if marker is not None:
        raise NotApproved(
            "an agent cannot approve; the user can, with a message of its own",
            value=f"{marker} is set here",
            hint='answer "go" in the conversation, or run deft approve in a terminal of your own',
        )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise NotApproved("approval needs a terminal", hint="run deft approve in a terminal, without pipes")


def remember_drawn(workspace: Workspace) -> None:
    """Note, signed, that `deft demo` drew this workspace itself: only such a one the demo may approve."""
    approval.write_record(_drawn_path(workspace), approval.signed(_identity(workspace)))


def _require_drawn(workspace: Workspace) -> None:
    record = approval.read_record(_drawn_path(workspace))
    identity = _identity(workspace)
    if record is None or not approval.is_signed(record) or {**record, **identity} != record:
        raise NotApproved(
            "the demo approves only a workspace that it drew itself",
            value=workspace.root,
            hint=f"deft approve {shlex.quote(str(workspace.root))}",
        )


def _drawn_path(workspace: Workspace) -> str:
    name = files.sha256_of_bytes(os.fsencode(workspace.root))
    return os.path.join(approval.state_home(), "drawn", f"{name}.json")


def _identity(workspace: Workspace) -> Record:
    return {"workspace": str(workspace.root), "workspace_inode": workspace.root.stat().st_ino}


# --- what every side effect asks ---------------------------------------------------------------------


def require_approval(place: Workspace | RunFolder, plan: Plan) -> Record:
    """Return the valid approval of exactly this plan: a run's `approval.json`, or before the run the gate's.

    Raises NotApproved: missing, forged, copied from another run or workspace, another plan (naming what
    changed), refused, or expired. A run that was opened in time goes on, whatever the clock says later.
    """
    if isinstance(place, RunFolder):
        record = approval.read_record(str(place.approval))
        where = place.workspace
    else:
        record, where = approval.decision_on(plan), place
    try:
        if os.path.realpath(plan["workspace"]) != os.path.realpath(where.root):
            raise approval.ApprovalFault(f"the plan is for another workspace ({plan['workspace']})")
        if isinstance(place, RunFolder) and place.root.name != plan["run_id"]:
            raise approval.ApprovalFault(f"the plan was copied from run {plan['run_id']}")
        approval.check(record, plan, in_use=isinstance(place, RunFolder) and _was_logged(place))
    except (approval.ApprovalFault, OSError, KeyError) as fault:
        waits = record is None and place == where
        raise _not_approved(fault, record, plan, waits=waits) from None
    assert record is not None
    return record


def _not_approved(fault: Exception, record: Record | None, plan: Plan, *, waits: bool) -> NotApproved:
    known = isinstance(fault, approval.ApprovalFault)
    reason = str(fault) if known else f"the approval is unusable ({fault!r})"
    changed = _changed_since(record, plan) if isinstance(fault, approval.PlanChanged) else []
    where = shlex.quote(str(plan.get("workspace")))
    again = f"deft preflight {where}, then let the user approve the summary"
    return NotApproved(
        reason,
        value=", ".join(changed[:5]) or plan.get("run_id"),
        hint=f"deft approve {where}" if waits else again,
    )


def _changed_since(record: Record | None, plan: Plan) -> list[str]:
    """Name what differs between the approved plan, where it is still known, and this one."""
    agreed = approval.stored_plan(record["plan_sha256"]) if record else None
    return list(differences(agreed, plan)) if agreed else []


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield one `path (old → new)` for each leaf in which two records differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}, key=str):
            below = f"{path}.{name}" if path else str(name)
            yield from differences(old.get(name, MISSING), new.get(name, MISSING), below)
    elif old != new:
        yield f"{path} ({_brief(old)} → {_brief(new)})"


def _brief(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:60]


def check_drift(plan: Plan, workspace: Workspace, settings: Mapping[str, Any] | None = None) -> None:
    """Refuse to go on when an input, or one of the given settings, is no longer what was agreed to.

    `plan["inputs"]` maps paths (relative to the workspace) to sha256, or to null for a file that was absent.
    Raises StateConflict that names the first difference.
    """
    for name, agreed in plan["inputs"].items():
        found = _digest(workspace.root / name)
        if found != agreed:
            raise StateConflict(
                f"input {_what_happened(agreed, found)} since the plan was made",
                value=name,
                hint=f"put it back, or deft preflight {shlex.quote(str(workspace.root))}",
            )
    for name, value in (settings or {}).items():
        agreed = plan["settings"].get(name, {}).get("value", MISSING)
        if value != agreed:
            raise StateConflict(
                f"parameter {name} is not the approved one ({_brief(agreed)})",
                value=_brief(value),
                hint=f"deft preflight {shlex.quote(str(workspace.root))} with the new value",
            )


def _digest(path: Path) -> str | None:
    return files.sha256_of_file(path) if path.is_file() else None


def _what_happened(agreed: str | None, found: str | None) -> str:
    if agreed is None:
        return "appeared"
    return "disappeared" if found is None else "changed"


# --- from the gate to a run --------------------------------------------------------------------------


def open_run(workspace: Workspace) -> RunFolder:
    """Make the run folder of the approved plan that waits: plan, approval, first log line, state.

    Nothing is written unless the approval holds and no input has changed. Repeating it after a crash
    completes it; a new approval of a run that exists replaces the old one.
    """
    plan = pending_run(workspace)
    if plan is None:
        raise _nothing_waits(workspace)
    record = require_approval(workspace, plan)
    check_drift(plan, workspace)
    run = RunFolder(workspace.results / plan["run_id"])
    _refuse_other_plan(run, plan)
    files.make_folder(run.root)
    files.write_json(run.plan, plan)
    files.write_json(run.approval, record)
    _log_approval(run, record)
    write_state(run, plan)
    approval.drop_pending(str(workspace.root))
    return run


def _refuse_other_plan(run: RunFolder, plan: Plan) -> None:
    if run.plan.exists() and files.read_json(run.plan) != plan:
        raise StateConflict("a run of this name follows another plan", value=run.root)


def _log_approval(run: RunFolder, record: Record) -> None:
    if _was_logged(run):
        return
    entries = read(run.log)
    content = run.approval.read_bytes()
    LoopLog(run.log).append(
        {
            "iter": entries[-1]["iter"] if entries else "baseline",
            "stage": "approval",
            "status": "ok",
            "summary": f"plan {record['plan_sha256'][:12]} approved by {record['by']}",
            "kind": "approval",
            "evidence": [
                {
                    "path": run.approval.name,
                    "sha256": files.sha256_of_bytes(content),
                    "size": len(content),
                }
            ],
        }
    )


def _was_logged(run: RunFolder) -> bool:
    """Say whether the log of a run tells of its approval: `open_run` logs one that has not expired."""
    if not run.approval.is_file():
        return False
    digest = files.sha256_of_file(run.approval)
    logged = (item["sha256"] for entry in read(run.log) for item in entry["evidence"])
    return digest in logged
