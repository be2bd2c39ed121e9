"""What the loop's verbs answer, in a kilobyte: what happened, what to look at, and the next command."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from deft.errors import DeftError, InputRefused, StateConflict
from deft.metrics.figure_text import far_recall, stated
from deft.metrics.target import Target
from deft.run.lock import holder
from deft.run.log import read
from deft.run.spot_check import VERDICTS, awaits_eyes, rca_folder, samples
from deft.run.state import fold, read_plan
from deft.run.transitions import next_stage
from deft.runner import RUNNING, STOPPED, outcome_of, progress_of
from deft.untrusted import untrusted, visible
from deft.workspace.layout import BASELINE, RUN_NAME, RunFolder, Workspace

Record = dict[str, Any]
ANSWER_BYTES = 1024
LAST_LINES = 3
QUOTES = ("log", "progress", "images", "error")
"""Fields whose text comes from data, logs or other programs: never an instruction."""


def find_run(path: Path) -> RunFolder:
    """Return the run at a path: a run folder, or the newest run of a workspace."""
    found = path.expanduser().resolve()
    if not found.is_dir():
        fact = "a file stands where a folder is wanted" if found.exists() else "folder does not exist"
        raise InputRefused(fact, value=found, hint="name a workspace, or a run_* folder of its results")
    if RUN_NAME.fullmatch(found.name) and (found / "plan.json").is_file():
        return RunFolder(found)
    runs = [run for run in Workspace.at(found).runs() if run.plan.is_file()]
    if not runs:
        where = shlex.quote(str(found))
        raise StateConflict("workspace has no run yet", value=found, hint=f"deft preflight {where}")
    return runs[-1]


def answer(run: RunFolder) -> Record:
    """Return where a run stands, as `deft run`, `status` and `next` say it."""
    plan: Record = read_plan(run)
    entries = read(run.log)
    state = fold(plan, entries)
    status = _status(run, plan, entries)
    record: Record = {"status": status, "run": str(run.root), "log": _last_lines(entries)}
    if status == RUNNING:
        record["progress"] = progress_of(run)
    elif status == "judgement":
        record.update(_judgement(run, entries))
    elif status == "complete":
        record.update(_result(run, state))
    elif status == "failed":
        record["error"] = _quoted(outcome_of(run).get("error") or entries[-1]["summary"])
    record.update(_target_figure(plan, state))
    record["untrusted"] = [name for name in QUOTES if name in record]
    record["next"] = _next_command(run, status)
    return _fit(record)


def _status(run: RunFolder, plan: Record, entries: list[Record]) -> str:
    if holder(run) is not None:
        return RUNNING
    if next_stage(entries, plan) is None:
        return "complete"
    if awaits_eyes(run, plan, entries):
        return "judgement"
    if entries and entries[-1]["status"] == "error":
        return "failed"
    last = outcome_of(run)["status"] if (run.runner / "outcome.json").is_file() else STOPPED
    return str(last) if last == "failed" else STOPPED


def _quoted(error: Any) -> Any:
    """Return an error as it may be shown; its hint is a command of ours and is never cut."""
    if not isinstance(error, dict):
        return untrusted(error)
    return {
        name: visible(text) if name == "hint" else untrusted(text) for name, text in error.items() if text
    }


def _last_lines(entries: list[Record]) -> list[str]:
    told = [entry for entry in entries if entry["kind"] in ("stage", "manual")][-LAST_LINES:]
    return [f"{entry['iter']} {entry['stage']}: {untrusted(entry['summary'], 110)}" for entry in told]


def _judgement(run: RunFolder, entries: list[Record]) -> Record:
    folder = rca_folder(run, entries)
    assert folder is not None
    return {
        "look_at": str(folder / "rca_images"),
        "images": [Path(str(sample["image"])).name for sample in samples(folder)],
        "verdicts": list(VERDICTS),
        "write": ["rca"] if folder.parent.parent.name == BASELINE else ["rca", "mining"],
    }


def _result(run: RunFolder, state: Record) -> Record:
    best = state["iterations"][state["incumbent"]]
    return {
        "stop_reason": state["stop_reason"],
        "best": state["incumbent"],
        "far_pct": best["far_pct"],
        "recall_pct": 100.0,
        "far_at_99_5_pct": round(100 * best["kpi"]["far_at_99_5"]["far"], 4),
        "report": str(run.report),
        "model": str(run.best_model),
    }


def _target_figure(plan: Record, state: Record) -> Record:
    """Return the target's figure of the best model, but for FAR at 100 % recall: it never stands alone."""
    kpi = state["iterations"].get(state["incumbent"], {}).get("kpi") or {}
    if "target_value" not in kpi:
        return {}
    target = Target.from_record(plan["target"])
    if far_recall(target) == 1:
        return {}
    return {"target_figure": _shortened(stated(target, kpi["target_value"]))}


def _next_command(run: RunFolder, status: str) -> str:
    where = shlex.quote(str(run.root))
    if status == "judgement":
        return f"deft spot-check {where} 1=VERDICT 2=VERDICT ..."
    if status == "complete":
        return f"deft report {where}"
    return f"deft run {where} --until judgement"


def _fit(record: Record) -> Record:
    """Shorten a record, the least needed first, until it is a line of at most a kilobyte.

    Paths below the run become relative to it; where the run's own path fills the line, the reader is told
    to stand there.
    """
    where = shlex.quote(record["run"])
    for shorten in (*[_drop_line] * LAST_LINES, _relative, _brief_error, _count_images, _leave_run):
        if _bytes(record) <= ANSWER_BYTES:
            return record
        record = shorten(record)
    if _bytes(record) > ANSWER_BYTES:
        record["next"] = f"cd to the run folder, then: {record['next'].replace(where, '.')}"
    return record


def _bytes(record: Record) -> int:
    return len(json.dumps(record, ensure_ascii=False).encode()) + 1


def _drop_line(record: Record) -> Record:
    return {**record, "log": record["log"][1:]}


def _relative(record: Record) -> Record:
    below = f"{record['run']}/"
    names = [name for name in ("look_at", "report", "model") if name in record]
    return {**record, **{name: record[name].removeprefix(below) for name in names}}


def _brief_error(record: Record) -> Record:
    found = record.get("error")
    if isinstance(found, dict):
        return {**record, "error": {name: _shortened(str(part)) for name, part in found.items()}}
    return {**record, "error": _shortened(found)} if found else record


def _shortened(text: str, length: int = 100) -> str:
    """Keep both ends: a message begins with its fact, a path ends with its name."""
    half = length // 2
    return text if len(text) <= length else f"{text[:half]} ... {text[-half:]}"


def _count_images(record: Record) -> Record:
    return {**record, "images": len(record["images"])} if "images" in record else record


def _leave_run(record: Record) -> Record:
    return {name: value for name, value in record.items() if name != "run"}


def answer_text(record: Record) -> str:
    """Return the answer for a person."""
    lines = [f"{record['status']}: {record.get('run', '')}", *(f"  {line}" for line in record["log"])]
    for name in ("progress", "look_at", "error", "stop_reason", "best", "target_figure"):
        if record.get(name) not in (None, {}, ""):
            lines.append(f"{name.replace('_', ' ')}: {_text(record[name])}")
    if "far_pct" in record:  # never alone: one defect decides the figure at full recall
        full, near = record["far_pct"], record["far_at_99_5_pct"]
        lines += [f"FAR {full:.3g} % at 100 % recall, {near:.3g} % at 99.5 %", f"report: {record['report']}"]
    return "\n".join([*lines, f"next: {record['next']}"])


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items() if part not in (None, ""))
    return str(value)


def unfinished(workspace: Workspace) -> RunFolder | None:
    """Return the newest run of a workspace that has work left, or None."""
    for run in reversed(workspace.runs()):
        try:
            if run.plan.is_file() and next_stage(read(run.log), read_plan(run)) is not None:
                return run
        except DeftError:
            continue
    return None
