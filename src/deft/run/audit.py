"""Redo every record of a run from its artifacts and name the first that disagrees.

Nothing that was said counts: figures come from scores, counts from rows, models from their bytes, the stop
from the figures. A copy of a run folder is enough; what needs the workspace is left out where that is absent,
and the answer says so. Stages logged by hand count from here on, with the values found here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deft import files
from deft.errors import Corruption, DeftError
from deft.run import audit_models, audit_rows
from deft.run.audit_evidence import RESTORE, Evidence, Tally, disagreement
from deft.run.audit_records import (
    FOLDERS,
    TIMESTAMPED,
    check_manifest,
    check_note,
    check_seed,
    read_run,
    removed_files,
    workspace_of,
)
from deft.run.lock import RunLock
from deft.run.log import LoopLog
from deft.run.state import append_and_fold, fold
from deft.run.transitions import audited_values, confirmations, values_of
from deft.workspace.layout import RunFolder, Workspace

Record = dict[str, Any]
Entry = dict[str, Any]

REDO: dict[str, Callable[[Evidence], Record]] = {
    "train": audit_models.train,
    "evaluate": audit_models.evaluate,
    "rca": audit_models.rca,
    "routing": audit_rows.routing,
    "anomalygen": audit_rows.anomalygen,
    "data_mining": audit_rows.data_mining,
    "data_merge": audit_rows.data_merge,
    "loop_stop": audit_models.loop_stop,
}
UNREADABLE = (DeftError, OSError, LookupError, ValueError, TypeError, AttributeError)


def audit_run(run: RunFolder) -> Record:
    """Return {status: agrees, checked, stages, audited, not_checked}; raise Corruption at the first lie.

    Stages that were logged by hand and agree are confirmed by a note in the log; nothing else is written.
    """
    tally = Tally()
    with _readable("records", run.root.name):
        plan, entries = read_run(run, tally)
    audit = _Audit(run, plan, entries, workspace_of(run, plan, tally), tally)
    stages = [entry for entry in entries if audit.check(entry)]
    confirmed = audit.confirmed()
    if confirmed:
        _confirm(run, plan, entries[-1], confirmed)
    return {
        "status": "agrees",
        "run": str(run.root),
        "checked": tally.checked,
        "stages": len(stages),
        "audited": sorted(confirmed),
        "not_checked": tally.not_checked,
    }


class _Audit:
    """One pass over a log: each entry is compared with what the entries before it and the disk say."""

    def __init__(
        self, run: RunFolder, plan: Record, entries: list[Entry], workspace: Workspace | None, tally: Tally
    ) -> None:
        self.run, self.plan, self.entries = run, plan, entries
        self.workspace, self.tally = workspace, tally
        self.removed = removed_files(run, entries)
        self.by_hand: dict[int, Record] = {}

    def check(self, entry: Entry) -> bool:
        """Check one entry; say whether it was a completed stage."""
        line = f"loop_log.jsonl line {entry['seq']}"
        with _readable(f"{entry['iter']}/{entry['stage']} artifacts", line):
            if entry["kind"] not in ("stage", "manual"):
                self._check_note(entry)
                return False
            if entry["status"] == "ok":
                self._check_stage(entry)
            return bool(entry["status"] == "ok")

    def _check_note(self, entry: Entry) -> None:
        check_note(self.run, entry, self.tally)
        if "seeded" in entry["outcome"]:
            check_seed(self.run, self.plan, entry, self.tally)
        for name, recorded in confirmations(entry).items():
            stage = self.entries[int(name) - 1]
            self._agree(stage, entry, recorded, self.by_hand[stage["seq"]])

    def _check_stage(self, entry: Entry) -> None:
        if entry["kind"] == "manual":
            folder, hashes = _by_hand(self.run, entry)
            self.by_hand[entry["seq"]] = REDO[entry["stage"]](self._evidence(entry, folder, hashes))
            return
        folder, hashes = check_manifest(self.run, self.plan, entry, self.removed, self.tally)
        found = REDO[entry["stage"]](self._evidence(entry, folder, hashes))
        self._agree(entry, entry, values_of(entry), found)

    def _agree(self, stage: Entry, line: Entry, recorded: Record, found: Record) -> None:
        """Compare what a line says that a stage found with what this audit found."""
        where = f"{stage['iter']}/{stage['stage']}"
        self.tally.agree(where, f"loop_log.jsonl line {line['seq']}", recorded, found)

    def confirmed(self) -> dict[int, Record]:
        """Return what was found about stages logged by hand of which no line before it tells."""
        return self._unconfirmed(self.entries)

    def _unconfirmed(self, entries: list[Entry]) -> dict[int, Record]:
        known = audited_values(entries)
        return {seq: found for seq, found in self.by_hand.items() if seq not in known}

    def _evidence(self, entry: Entry, folder: Path, hashes: dict[str, str]) -> Evidence:
        before = self._before(entry)
        return Evidence(
            run=self.run,
            plan=self.plan,
            entries=before,
            state=fold(self.plan, before),
            phase=self.run.phase(entry["iter"]),
            stage=entry["stage"],
            folder=folder,
            hashes=hashes,
            workspace=self.workspace,
            tally=self.tally,
        )

    def _before(self, entry: Entry) -> list[Entry]:
        """Return the entries before one, with what this audit already found out about those by hand.

        Nothing that a later line says of them is among it: that is still to be compared.
        """
        before = self.entries[: entry["seq"] - 1]
        values = {str(seq): found for seq, found in self._unconfirmed(before).items()}
        return [*before, {**before[-1], "kind": "note", "evidence": [], "outcome": {"audited": values}}]


@contextmanager
def _readable(what: str, file: str) -> Iterator[None]:
    """Name what cannot be read or redone as a disagreement: an honest run can be, junk cannot."""
    try:
        yield
    except Corruption as fault:
        raise Corruption(fault.fact, value=fault.value, hint=fault.hint or RESTORE) from None
    except UNREADABLE as error:
        raise disagreement(what, file, "what a stage writes", _fault(error)) from None


def _fault(error: Exception) -> str:
    if isinstance(error, DeftError):
        return f"{error.value}: {error.fact}"
    return f"{type(error).__name__}: {error}"


def _by_hand(run: RunFolder, entry: Entry) -> tuple[Path, dict[str, str]]:
    """Return the folder that a stage done by hand must have filled, and the hashes of its files."""
    where = f"{entry['iter']}/{entry['stage']}"
    folder = run.root / "handoff"
    if entry["stage"] in FOLDERS:
        folder = run.phase(entry["iter"]).root / FOLDERS[entry["stage"]]
    if entry["stage"] in TIMESTAMPED:
        folder = max(folder.glob("*"), default=folder / "TIMESTAMP")
    name = folder.relative_to(run.root).as_posix()
    if not folder.is_dir():
        raise disagreement(f"{where} folder", name, "logged by hand as done", "no such folder")
    paths = files.files_below(folder)
    return folder, {path.relative_to(folder).as_posix(): files.sha256_of_file(path) for path in paths}


def _confirm(run: RunFolder, plan: Record, last: Entry, confirmed: dict[int, Record]) -> None:
    """Let the stages logged by hand count, with the values that were found."""
    note = {
        "iter": last["iter"],
        "stage": "audit",
        "status": "ok",
        "summary": f"{len(confirmed)} stages logged by hand agree with their artifacts",
        "kind": "note",
        "outcome": {"audited": {str(seq): values for seq, values in sorted(confirmed.items())}},
    }
    with RunLock(run):
        append_and_fold(run, plan, LoopLog(run.log), note)
