"""Forge a finished run so well that only its artifacts can tell: manifests, chain and state all fit again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from deft import files
from deft.errors import Corruption
from deft.metrics.target import parse_target
from deft.run.audit import audit_run
from deft.run.log import GENESIS, entry_sha256
from deft.run.manifests import MANIFEST
from deft.run.state import fold
from deft.workspace.layout import RunFolder

Entry = dict[str, Any]


def copy_with_workspace(run: RunFolder, parent: Path) -> RunFolder:
    """Copy a run together with the workspace it belongs to."""
    shutil.copytree(run.workspace.root, parent / "copied")
    return RunFolder(parent / "copied" / "results" / run.root.name)


def entries_of(run: RunFolder) -> list[Entry]:
    """Read the log as it is, unverified."""
    return [json.loads(line) for line in run.log.read_text(encoding="utf-8").splitlines()]


def entry_of(run: RunFolder, step: str) -> Entry:
    """Return the completed entry of `phase/stage`."""
    return next(entry for entry in entries_of(run) if _is(entry, step))


def folder_of(run: RunFolder, step: str) -> Path:
    """Return the folder of a completed stage."""
    return run.root / entry_of(run, step)["outcome"]["folder"]


def _is(entry: Entry, step: str) -> bool:
    return (
        f"{entry['iter']}/{entry['stage']}" == step and entry["kind"] == "stage" and entry["status"] == "ok"
    )


def reseal(run: RunFolder, entries: list[Entry] | None = None, *, state: bool = True) -> None:
    """Make manifests, evidence, inputs, chain and state fit what is on disk, as a careful forger would."""
    entries = entries_of(run) if entries is None else entries
    for entry in entries:
        if entry["kind"] == "stage" and entry["status"] == "ok":
            _reseal_stage(run, entry)
        for item in entry["evidence"]:
            content = (run.root / item["path"]).read_bytes()
            item.update(sha256=files.sha256_of_bytes(content), size=len(content))
    rechain(run, entries)
    if state:
        files.write_json(run.state, fold(files.read_json(run.plan), entries_of(run)))


def _reseal_stage(run: RunFolder, entry: Entry) -> None:
    outcome = entry["outcome"]
    folder = run.root / outcome["folder"]
    hashes = {
        path.relative_to(folder).as_posix(): files.sha256_of_file(path)
        for path in files.files_below(folder)
        if path != folder / MANIFEST and path.name != "verdicts.json"
    }
    outcome["inputs"] = {name: _current(run, name, old) for name, old in outcome["inputs"].items()}
    outcome["outputs"] = hashes
    manifest = files.read_json(folder / MANIFEST)
    manifest.update(
        inputs=outcome["inputs"],
        outcome={
            "summary": entry["summary"],
            "values": outcome["values"],
            "events": outcome["events"],
        },
        files=[
            {"path": name, "sha256": digest, "size": (folder / name).stat().st_size}
            for name, digest in hashes.items()
        ],
    )
    files.write_json(folder / MANIFEST, manifest)


def _current(run: RunFolder, name: str, old: str) -> str:
    path = run.root / name
    return files.sha256_of_file(path) if path.is_file() else old


def rechain(run: RunFolder, entries: list[Entry]) -> None:
    """Write a log whose chain is whole."""
    last = GENESIS
    for number, entry in enumerate(entries, start=1):
        entry.update(seq=number, prev=last)
        last = entry["sha256"] = entry_sha256(entry)
    files.write_text(run.log, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))


def change(run: RunFolder, step: str, edit: Callable[[Entry], None]) -> None:
    """Edit the entry of a completed stage and reseal everything."""
    entries = entries_of(run)
    for entry in entries:
        if _is(entry, step):
            edit(entry)
    reseal(run, entries)


def aimed_at(run: RunFolder, folder: Path, target: str, *values: float | None) -> RunFolder:
    """Copy a run as one of another target, with a figure for each phase; without, as an older version's."""
    copy = RunFolder(shutil.copytree(run.root, folder / run.root.name))
    goal = parse_target(target)
    record = {**goal.to_record(), "source": "user"}
    files.write_json(copy.plan, {**files.read_json(copy.plan), "target": record})
    entries = entries_of(copy)
    evaluated = [entry["outcome"]["values"] for entry in entries if entry["stage"] == "evaluate"]
    for found in evaluated:
        del found["kpi"]["target_value"]
    for found, value in zip(evaluated, values, strict=False):
        found["kpi"]["target_value"] = value
        found["target_met"] = goal.is_met_by(value)
    rechain(copy, entries)
    return copy


def rewrite_csv(path: Path, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Write a table again after an edit."""
    files.write_csv(path, edit(pd.read_csv(path, dtype=str, keep_default_na=False)))


def refused(run: RunFolder, *words: str) -> str:
    """Return the message of the audit, which must name each of these words and say what to do next."""
    with pytest.raises(Corruption) as caught:
        audit_run(run)
    message = caught.value.message()
    assert [word for word in words if word not in message] == []
    assert caught.value.hint
    return message
