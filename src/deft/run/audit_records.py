"""Check the records of a run against each other: plan, approval, log, state, manifests, notes."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deft import files
from deft.errors import StateConflict, UsageError
from deft.guard import approval
from deft.run.audit_evidence import RESTORE, Tally, disagreement
from deft.run.log import read
from deft.run.manifests import MANIFEST, verify_manifest
from deft.run.places import Places
from deft.run.seeding import seeded_spec, seeded_values
from deft.run.spot_check import ANSWERS, SAMPLES
from deft.run.state import fold
from deft.run.transitions import STAGE_KINDS, check_entry
from deft.schemas import validate
from deft.workspace.layout import RunFolder, Workspace

Record = dict[str, Any]
Entry = dict[str, Any]

FOLDERS = {
    "train": "train",
    "evaluate": "inference",
    "rca": "rca_results",
    "routing": "routing_results",
    "anomalygen": "anomalygen",
    "data_mining": "mining_filter",
    "data_merge": "dataset",
}
TIMESTAMPED = ("rca", "routing")
TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}_\d{6}")
STATUS_LINE = re.compile(r"Execution status: (PASS|FAIL)")


# --- the whole run ---------------------------------------------------------------------------


def read_run(run: RunFolder, tally: Tally) -> tuple[Record, list[Entry]]:
    """Return plan and log of a run after checking both, the approval and the state."""
    plan: Record = files.read_json(run.plan)
    validate(plan, "plan")
    entries = read(run.log)
    for entry in entries:
        validate(entry, "log_entry")
        tally.checked += 1
    _check_order(plan, entries)
    _check_approval(run, plan, entries, tally)
    _check_state(run, plan, entries, tally)
    return plan, entries


def _check_order(plan: Record, entries: Sequence[Entry]) -> None:
    """Replay the log under the table of transitions, which a rewritten chain cannot evade."""
    for position, entry in enumerate(entries):
        where, line = f"{entry['iter']}/{entry['stage']}", f"loop_log.jsonl line {entry['seq']}"
        approved = any(other["kind"] == "approval" for other in entries[:position])
        if entry["kind"] in STAGE_KINDS and not approved:
            raise disagreement(f"{where} order", line, where, "no approval before it")
        try:
            check_entry(entries[:position], entry, plan)
        except (StateConflict, UsageError) as fault:
            raise disagreement(f"{where} order", line, where, fault.fact) from None
        failed = _failures(entries[:position], entry)
        if entry["kind"] == "stage" and entry["attempt"] != 1 + failed:
            raise disagreement(f"{where} attempt", line, entry["attempt"], f"{failed} failures before it")


def _failures(entries: Sequence[Entry], entry: Entry) -> int:
    step = (entry["iter"], entry["stage"], "error")
    return sum((other["iter"], other["stage"], other["status"]) == step for other in entries)


def _check_approval(run: RunFolder, plan: Record, entries: Sequence[Entry], tally: Tally) -> None:
    record: Record = files.read_json(run.approval)
    validate(record, "approval")
    name = run.approval.name
    agreed = {"plan_sha256": files.sha256_of_record(plan), "run_id": plan["run_id"], "decision": "approved"}
    tally.agree("approval", name, {key: record[key] for key in agreed}, agreed)
    evidence = [
        item["sha256"] for entry in entries if entry["kind"] == "approval" for item in entry["evidence"]
    ]
    tally.agree("approval's line", name, evidence[-1:], [files.sha256_of_file(run.approval)])
    moved = os.path.realpath(run.root) != os.path.realpath(Places.of(run, plan).recorded_run)
    if moved or not os.path.lexists(os.path.join(approval.state_home(), "key")):
        tally.skip("signature of the approval: this run was copied, or the key of its user is not here")
    elif not approval.is_signed(record):
        raise disagreement("approval's signature", name, "signed by this user", "another signature")


def _check_state(run: RunFolder, plan: Record, entries: Sequence[Entry], tally: Tally) -> None:
    state = fold(plan, entries)
    hint = f"deft run {shlex.quote(str(run.root))} folds it anew where a kill left it behind; else {RESTORE}"
    tally.agree("state", run.state.name, files.read_json(run.state), state, hint)
    content = files.json_text(state).encode("utf-8")
    tally.agree("state's bytes", run.state.name, run.state.read_bytes() == content, True, hint)


def workspace_of(run: RunFolder, plan: Record, tally: Tally) -> Workspace | None:
    """Return the workspace where it is here and its tables are those of the plan; else note why not."""
    workspace = run.workspace
    if not workspace.baseline_spec.is_file():
        tally.skip(f"whatever needs the workspace {plan['workspace']}: it is not beside this run folder")
        return None
    for name, agreed in plan["inputs"].items():
        path = workspace.root / name
        tally.checked += 1
        if (files.sha256_of_file(path) if path.is_file() else None) == agreed:
            continue
        if not Path(name).is_absolute():
            tally.skip(f"whatever needs the workspace: {name} is no longer the file of the plan")
            return None
        tally.skip(f"the content of {name}: outside the workspace, and gone or another one now")
    return workspace


# --- one entry -------------------------------------------------------------------------------


def removed_files(run: RunFolder, entries: Sequence[Entry]) -> frozenset[Path]:
    """Return the checkpoints that `deft clean` said it removed."""
    return frozenset(run.root / name for entry in entries for name in entry["outcome"].get("removed", []))


def check_manifest(
    run: RunFolder, plan: Record, entry: Entry, removed: frozenset[Path], tally: Tally
) -> tuple[Path, dict[str, str]]:
    """Return the folder of a logged stage and the hashes of its files, after checking both."""
    where, outcome = f"{entry['iter']}/{entry['stage']}", entry["outcome"]
    name = str(outcome.get("folder"))
    if not _is_place(entry, name):
        raise disagreement(f"{where} folder", "loop_log.jsonl", name, "no folder of this stage")
    folder = run.root / name
    file = f"{name}/{MANIFEST}"
    if not (folder / MANIFEST).is_file():
        raise disagreement(f"{where} manifest", file, "a finished stage", "no manifest")
    recorded = [(item["path"], item["sha256"]) for item in entry["evidence"]]
    tally.agree(f"{where} manifest", file, recorded, [(file, files.sha256_of_file(folder / MANIFEST))])
    manifest = verify_manifest(folder, removed=removed)
    tally.checked += len(manifest["files"])
    hashes = {item["path"]: item["sha256"] for item in manifest["files"]}
    told = (
        {name: entry[name] for name in ("stage", "attempt", "summary")} | {"phase": entry["iter"]} | outcome
    )
    written = {**manifest, **manifest["outcome"], "outputs": hashes}
    tally.agree(f"{where} outcome", file, told, {name: written.get(name) for name in told})
    _check_inputs(run, plan, entry, removed, tally)
    _check_logs(where, run, folder)
    return folder, hashes


def _is_place(entry: Entry, name: str) -> bool:
    if entry["stage"] == "loop_stop":
        return name == "handoff"
    place = f"{entry['iter']}/{FOLDERS[entry['stage']]}"
    if entry["stage"] not in TIMESTAMPED:
        return name == place
    parent, _, stamp = name.rpartition("/")
    return parent == place and TIMESTAMP.fullmatch(stamp) is not None


def _check_inputs(run: RunFolder, plan: Record, entry: Entry, removed: frozenset[Path], tally: Tally) -> None:
    """Require that what the stage read is what lies in the run now, and what the plan named."""
    for name, digest in entry["outcome"].get("inputs", {}).items():
        where, path = f"{entry['iter']}/{entry['stage']} input", run.root / name
        if name in plan["inputs"]:
            tally.agree(where, name, digest, plan["inputs"][name])
        elif path.is_file():
            tally.agree(where, name, digest, files.sha256_of_file(path))
        elif path not in removed and not Path(name).is_absolute():
            raise disagreement(where, name, digest[:12], "no such file")


def _check_logs(where: str, run: RunFolder, folder: Path) -> None:
    """Refuse a tool's log whose last word is that it failed."""
    for path in sorted(folder.rglob("*.log")):
        said = STATUS_LINE.findall(path.read_text(encoding="utf-8", errors="replace"))
        if said and said[-1] == "FAIL":
            raise disagreement(f"{where} log", path.relative_to(run.root).as_posix(), "ok", said[-1])


def check_note(run: RunFolder, entry: Entry, tally: Tally) -> None:
    """Check the files that a note names as its evidence."""
    if entry["kind"] == "approval":
        return  # an approval may have been replaced by a later one; the last was compared already
    for item in entry["evidence"]:
        where, path = f"{entry['iter']}/{entry['stage']} note", run.root / item["path"]
        if not path.is_file():
            raise disagreement(where, item["path"], item["sha256"][:12], "no such file")
        tally.agree(where, item["path"], item["sha256"], files.sha256_of_file(path))
        if path.name == ANSWERS:
            _check_verdicts(entry, path, tally)


def _check_verdicts(entry: Entry, path: Path, tally: Tally) -> None:
    record = files.read_json(path)
    validate(record, "verdicts")
    shown = [sample["component_id"] for sample in files.read_json(path.with_name(SAMPLES))["samples"]]
    found = {"looked": record["looked"], "samples": [sample["component_id"] for sample in record["samples"]]}
    recorded = {"looked": entry["outcome"]["looked"], "samples": shown}
    tally.agree(f"{entry['iter']}/spot_check verdicts", path.name, recorded, found)


def check_seed(run: RunFolder, plan: Record, entry: Entry, tally: Tally) -> None:
    """Compare the whole record of a baseline that came trained with the plan, and its checkpoint too."""
    seed, where = plan["baseline"], "baseline/train seed"
    agreed = seeded_values(seed, Places.of(run, plan).recorded(seeded_spec(run)))
    tally.agree(where, f"loop_log.jsonl line {entry['seq']}", entry["outcome"]["seeded"], agreed)
    path = Path(seed["checkpoint"])
    tally.checkpoints[seed["sha256"]] = str(path)
    if path.is_file():
        tally.agree(where, str(path), seed["sha256"], files.sha256_of_file(path))
    else:
        tally.skip(f"the checkpoint that the run started from: {path} is not here")
