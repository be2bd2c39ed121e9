"""The gate of a step that is done outside a loop: its plan, the user's word on it, its results folder.

A plan holds no clock, so the same call on the same inputs has the same hash: the first call leaves the plan
waiting, and once the user has approved it the same call runs.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from deft import files
from deft.errors import InputRefused, NotApproved
from deft.guard import approval
from deft.platforms.base import Platform
from deft.platforms.settings import read_platform_settings
from deft.preflight.settings import Settings
from deft.progress import Progress
from deft.run.by_hand import require_guard
from deft.run.gate import differences, pending_for, require_approval, save_pending
from deft.untrusted import untrusted, visible
from deft.versions import component_versions
from deft.workspace.layout import Workspace, timestamp

PLAN_VERSION = 1
PLAN, APPROVAL = "plan.json", "approval.json"
NOT_COMPARED = ("run_id", "command")
Record = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """What one call would do, before it has done anything.

    `arguments` is the command line after `deft`, with absolute paths; `results` the folder that is filled, or
    with `timestamped` the folder in which a new `<TS>` is made; `calls` maps tool calls to how many at most.
    """

    kind: str
    arguments: tuple[str, ...]
    inputs: tuple[Path, ...]
    settings: Settings
    results: Path
    writes: tuple[str, ...]
    calls: Mapping[str, int]
    platform: str | None = None
    timestamped: bool = True
    advice: tuple[str, ...] = ()


class Request(Protocol):
    """What a verb was asked for."""

    def step(self) -> Step:
        """Check the inputs and say what would happen; write nothing."""

    def work(self, folder: Path, platform: Platform, progress: Progress) -> Record:
        """Do it inside `folder`; return what a reader wants to know."""


# --- the plan --------------------------------------------------------------------------------


def plan_of(step: Step) -> Record:
    """Return the plan of a step; its `run_id` is a stable name taken from its hash."""
    root = _workspace_of(step)
    body: Record = {
        "version": PLAN_VERSION,
        "kind": step.kind,
        "workspace": str(root),
        "command": shlex.join(["deft", *step.arguments]),
        "platform": step.platform,
        "platform_settings": read_platform_settings(root, step.platform) if step.platform else {},
        "settings": step.settings,
        "inputs": {_name(path, root): files.sha256_of_file(path) for path in step.inputs},
        "results": str(step.results) + ("/<TS>" if step.timestamped else ""),
        "writes": list(step.writes),
        "tool_calls": [{"call": name, "at_most": count} for name, count in step.calls.items()],
        "versions": component_versions(),
        "advice": list(step.advice),
    }
    return {"run_id": f"{step.kind}-{files.sha256_of_record(body)[:12]}", **body}


def require_files(paths: Iterable[Path]) -> None:
    """Refuse the first path that is no file."""
    for path in paths:
        if path.is_dir():
            raise InputRefused("expected a file, found a folder", value=path)
        if not path.is_file():
            raise InputRefused("file does not exist", value=path)


def _workspace_of(step: Step) -> Path:
    """Return the nearest workspace around the inputs, else the folder that holds the user's output folder."""
    for path in step.inputs:
        for folder in path.parents:
            if (folder / "specs").is_dir() and (folder / "kpi").is_dir():
                return folder.resolve()
    output = step.results.parent if step.timestamped else step.results
    parent = output.parent
    if not parent.is_dir():
        raise InputRefused("folder for the results does not exist", value=parent, hint=f"mkdir -p {parent}")
    return parent.resolve()


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def plan_text(plan: Record) -> str:
    """Return what a person reads before saying yes."""
    return "\n".join(map(visible, _plan_lines(plan))) + "\n"


def _plan_lines(plan: Record) -> Iterator[str]:
    yield f"# {plan['kind']}: {plan['run_id']}"
    yield f"  command  {plan['command']}"
    for name, digest in plan["inputs"].items():
        yield f"  input    {name} (sha256 {digest[:12]})"
    for name, setting in plan["settings"].items():
        yield f"  setting  {name} = {_shown(setting['value'])} ({setting['source']})"
    for call in plan["tool_calls"]:
        yield f"  call     {call['call']}, at most {call['at_most']}, on platform {plan['platform']}"
    yield f"  results  {plan['results']}: {', '.join(plan['writes'])}"
    for line in plan["advice"]:
        yield f"  note     {untrusted(line)}"


def _shown(value: object) -> str:
    return "off" if value is None else str(value)


# --- the user's word -------------------------------------------------------------------------


def require_agreed(plan: Record) -> Record:
    """Return the approval of exactly this plan; else keep the plan for the user's word, raise NotApproved.

    What changed since an approved call that has not run yet is named.
    """
    workspace = Workspace(Path(plan["workspace"]))
    try:
        return require_approval(workspace, plan)
    except NotApproved as refusal:
        waiting = pending_for(workspace)
        save_pending(plan, session_id=os.environ.get("DEFT_SESSION_ID"))
        raise NotApproved(
            refusal.fact + _displaced(waiting, plan),
            value=", ".join(_changed(waiting, plan)) or plan["run_id"],
            hint=f"let the user say go, or deft approve {workspace.root}; then the same command again",
        ) from None


def _displaced(waiting: Record | None, plan: Record) -> str:
    """Say that another kind of plan no longer waits: one plan waits for a workspace at a time."""
    if waiting is None or waiting.get("kind") == plan["kind"]:
        return ""
    return f" (it takes the place of {waiting['run_id']}, which waited here)"


def _changed(waiting: Record | None, plan: Record) -> list[str]:
    if waiting is None or waiting.get("kind") != plan["kind"]:
        return []
    try:
        approval.check(approval.decision_on(waiting), waiting)
    except approval.ApprovalFault:
        return []
    old, new = ({k: v for k, v in each.items() if k not in NOT_COMPARED} for each in (waiting, plan))
    return list(differences(old, new))[:5]


# --- the work --------------------------------------------------------------------------------


def carry_out(
    request: Request, step: Step, plan: Record, platform: Platform, progress: Progress
) -> tuple[Record, Path]:
    """Do an approved step and return what it found and where.

    A new `<TS>` folder has its name only when it is complete: before, and after a failure, it is
    `<TS>.attempt`. Raises NotApproved, also for a planned run's own folder that nobody approved.
    """
    agreed = require_agreed(plan)
    require_guard(step.results)
    if pending_for(Workspace(Path(plan["workspace"]))) == plan:
        approval.drop_pending(plan["workspace"])
    final = _free_name(step.results) if step.timestamped else step.results
    folder = _attempt(final) if step.timestamped else final
    files.make_folder(folder)
    files.write_json(folder / PLAN, plan)
    files.write_json(folder / APPROVAL, agreed)
    found = request.work(folder, platform, progress)
    files.sync_tree(folder)
    if folder != final:
        folder.rename(final)
        files.sync_folder(final.parent)
    return found, final


def _free_name(parent: Path) -> Path:
    """Name the folder after this second; one that is taken passes on to the next."""
    moment = datetime.now()
    while (final := parent / timestamp(moment)).exists() or _attempt(final).exists():
        moment += timedelta(seconds=1)
    return final


def _attempt(final: Path) -> Path:
    return final.with_name(f"{final.name}.attempt")
