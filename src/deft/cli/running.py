"""Start or join a run from the command line, and show its progress while waiting."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from deft.cli.answers import find_run, unfinished
from deft.cli.output import say
from deft.preflight.inspect import require_unchanged_images
from deft.progress import Progress, for_terminal
from deft.run.gate import check_drift, open_run, pending_run, require_approval
from deft.run.lock import holder
from deft.run.log import read
from deft.run.spot_check import awaits_eyes
from deft.run.state import read_plan
from deft.run.transitions import next_stage
from deft.runner import join_runner, outcome_of, progress_of, start_runner
from deft.workspace.layout import RUN_NAME, RunFolder, Workspace

LOOK_SECONDS = 0.5


def start_or_join(place: Path, *, until_judgement: bool) -> RunFolder:
    """Return the run of a place with its runner at work, if there is work left.

    An approved plan that waits becomes a new run; else the unfinished run goes on. Raises NotApproved,
    and StateConflict naming the input that changed since the approval.
    """
    run = _existing(place)
    if run is None:
        run = _open(Workspace.at(place))
    elif holder(run) is not None or not _has_work(run, until_judgement=until_judgement):
        return run
    else:
        _require_as_agreed(run, read_plan(run))
    start_runner(run, until_judgement=until_judgement)
    return run


def _has_work(run: RunFolder, *, until_judgement: bool) -> bool:
    """Say whether a runner has something to do: one that would only find that eyes are needed has not."""
    plan, entries = read_plan(run), read(run.log)
    if next_stage(entries, plan) is None:
        return False
    return not (until_judgement and awaits_eyes(run, plan, entries))


def _existing(place: Path) -> RunFolder | None:
    found = place.expanduser().resolve()
    if RUN_NAME.fullmatch(found.name):
        return find_run(found)
    workspace = Workspace.at(found)
    if pending_run(workspace) is not None:
        return None
    return unfinished(workspace) or _newest(workspace)


def _newest(workspace: Workspace) -> RunFolder | None:
    """Return the newest run: one that ended between two calls of the same command still answers."""
    runs = [run for run in workspace.runs() if run.plan.is_file()]
    return runs[-1] if runs else None


def _open(workspace: Workspace) -> RunFolder:
    plan = pending_run(workspace)
    if plan is not None:
        _require_as_agreed(workspace, plan)
    return open_run(workspace)


def _require_as_agreed(place: Workspace | RunFolder, plan: dict[str, Any]) -> None:
    """Ask for the approval, then compare the tables, then the images: the most telling name is first."""
    workspace = place.workspace if isinstance(place, RunFolder) else place
    require_approval(place, plan)
    check_drift(plan, workspace)
    require_unchanged_images(plan, workspace)


def follow(run: RunFolder, *, wait_seconds: float | None) -> dict[str, Any]:
    """Wait for the runner with a bar and one line a finished stage; return its outcome."""
    deadline = None if wait_seconds is None else time.monotonic() + wait_seconds
    progress = for_terminal()
    told = len(read(run.log))
    while holder(run) is not None and (deadline is None or time.monotonic() < deadline):
        _show_task(run, progress, deadline)
        told = _tell_stages(run, told)
    _tell_stages(run, told)
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    outcome = join_runner(run, wait_seconds=left)
    return outcome if outcome["status"] != "stopped" else outcome_of(run)


def _show_task(run: RunFolder, progress: Progress, deadline: float | None) -> None:
    """Show one task until another begins."""
    now = progress_of(run)
    name = str(now.get("task", "working"))
    with progress.task(name, total=now.get("total"), unit=str(now.get("unit", "step"))) as task:
        while holder(run) is not None and (deadline is None or time.monotonic() < deadline):
            time.sleep(LOOK_SECONDS)
            now = progress_of(run)
            if str(now.get("task", "working")) != name:
                return
            task.reach(now.get("done", 0), now.get("total"))


def _tell_stages(run: RunFolder, told: int) -> int:
    entries = read(run.log)
    for entry in entries[told:]:
        if entry["kind"] == "stage":
            line = f"{entry['iter']:>8} {entry['stage']:<12} {entry['duration_sec']:>4} s  {entry['summary']}"
            say(line, err=True)
    return len(entries)
