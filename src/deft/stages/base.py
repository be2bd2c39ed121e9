"""What every stage does: work in an attempt folder, then commit in one order, so that none forgets.

Order: outputs into `<folder>.attempt-<n>`, fsync, manifest, rename, log line, state. A stage without
its log line did not happen; a renamed folder without its line is verified and adopted.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet

from deft import files
from deft.errors import Corruption, DeftError, StageFailed
from deft.platforms.base import Platform, ToolCall
from deft.progress import Progress
from deft.run.log import LoopLog
from deft.run.state import fold, write_state
from deft.versions import code_version
from deft.workspace.layout import Phase, RunFolder, timestamp

MANIFEST = "manifest.json"
KEY = ".stage_key"
Record = dict[str, Any]


@dataclass(frozen=True)
class StageContext:
    """What a stage may look at: the run, its plan and state, the phase, the platform."""

    run: RunFolder
    plan: Record
    state: Record
    phase: Phase
    platform: Platform
    progress: Progress

    def setting(self, name: str) -> Any:
        """Return the agreed value of a parameter of the plan."""
        return self.plan["settings"][name]["value"]

    def figures(self, phase: str) -> Record:
        """Return what the state knows of a phase."""
        return dict(self.state["iterations"].get(phase, {}))

    @property
    def incumbent(self) -> str:
        """Return the phase whose model is the best so far."""
        return str(self.state["incumbent"])

    def call(self, calls: Sequence[ToolCall]) -> None:
        """Have the platform carry out tool calls."""
        self.platform.run(calls, self.progress)


@dataclass(frozen=True)
class Outcome:
    """What a stage found: one sentence, values for the state, and anything a reader must not miss.

    A `Path` among the values that lies in the attempt folder is recorded under its final name.
    """

    summary: str
    values: Record = field(default_factory=dict)
    events: tuple[str, ...] = ()


class Stage(ABC):
    """One step of the loop; a subclass says what it reads and what it does, the rest happens here."""

    name: ClassVar[str]
    timestamped: ClassVar[bool] = False
    keeps_partial_work: ClassVar[bool] = False

    @abstractmethod
    def place(self, context: StageContext) -> Path:
        """Return the folder the stage fills (its parent, where results are timestamped)."""

    @abstractmethod
    def reads(self, context: StageContext) -> list[Path]:
        """Return every file whose content decides the result."""

    def parameters(self, context: StageContext) -> Record:
        """Return the settings that decide the result."""
        return {}

    @abstractmethod
    def work(self, context: StageContext, folder: Path) -> Outcome:
        """Do the work inside `folder`, which has its final name only later."""

    def publish(self, context: StageContext, folder: Path) -> None:  # noqa: B027 - most stages publish nothing
        """Put copies outside the stage's folder; runs again after a crash, so it must be repeatable."""

    # --- the part nobody overrides -------------------------------------------------------------

    def execute(self, context: StageContext, log: LoopLog) -> Record:
        """Do the stage or adopt its finished folder, record it, and return the new state."""
        key = self._key(context)
        attempt = 1 + _failures(log.read(), context.phase.name, self.name)
        try:
            folder = self._finished(context, key) or self._attempt(context, key, attempt)
            manifest = verify_manifest(folder)
            self.publish(context, folder)
        except (DeftError, OSError) as error:
            self._record_failure(context, log, attempt, error)
            raise
        return self._record(context, log, attempt, folder, manifest)

    def _attempt(self, context: StageContext, key: str, attempt: int) -> Path:
        final = self.place(context)
        if self.timestamped:
            final = final / timestamp()
        folder = final.parent / f"{self.place(context).name}.attempt-{attempt}"
        self._open(folder, key)
        started = time.monotonic()
        outcome = self.work(context, folder)
        (folder / KEY).unlink()
        values = {name: _final_name(value, folder, final) for name, value in outcome.values.items()}
        _write_manifest(
            folder,
            {
                "stage": self.name,
                "phase": context.phase.name,
                "attempt": attempt,
                "key": key,
                "seconds": round(time.monotonic() - started, 3),
                "outcome": {
                    "summary": outcome.summary,
                    "values": values,
                    "events": list(outcome.events),
                },
            },
        )
        files.sync_tree(folder)
        if final.exists():
            shutil.rmtree(final)
        final.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(final)
        files.sync_folder(final.parent)
        return final

    def _open(self, folder: Path, key: str) -> None:
        """Start empty, or go on with partial work that was done for the very same inputs."""
        mark = folder / KEY
        same = mark.is_file() and mark.read_text() == key
        if folder.exists() and not (same and self.keeps_partial_work):
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        files.write_text(mark, key)

    def _finished(self, context: StageContext, key: str) -> Path | None:
        place = self.place(context)
        candidates = sorted(place.glob("*")) if self.timestamped else [place]
        for folder in reversed(candidates):
            if (
                ".attempt-" not in folder.name
                and (folder / MANIFEST).is_file()
                and files.read_json(folder / MANIFEST).get("key") == key
            ):
                return folder
        return None

    def _key(self, context: StageContext) -> str:
        inputs = {_relative(path, context.run): files.sha256_of_file(path) for path in self.reads(context)}
        return files.sha256_of_record(
            {
                "stage": self.name,
                "phase": context.phase.name,
                "inputs": inputs,
                "parameters": self.parameters(context),
                "code": code_version(),
            }
        )

    def _record(
        self, context: StageContext, log: LoopLog, attempt: int, folder: Path, manifest: Record
    ) -> Record:
        outcome = manifest["outcome"]
        return _append(
            context,
            log,
            {
                "iter": context.phase.name,
                "stage": self.name,
                "status": "ok",
                "summary": outcome["summary"],
                "duration_sec": round(manifest["seconds"]),
                "attempt": attempt,
                "kind": "stage",
                "evidence": [_manifest_evidence(folder, context.run)],
                "outcome": {
                    "values": outcome["values"],
                    "events": outcome["events"],
                    "key": manifest["key"],
                    "seconds": manifest["seconds"],
                    "folder": _relative(folder, context.run),
                    "outputs": {entry["path"]: entry["sha256"] for entry in manifest["files"]},
                },
            },
        )

    def _record_failure(
        self, context: StageContext, log: LoopLog, attempt: int, error: DeftError | OSError
    ) -> None:
        fact = error.fact if isinstance(error, DeftError) else f"{type(error).__name__}: {error}"
        entry = {
            "iter": context.phase.name,
            "stage": self.name,
            "status": "error",
            "summary": " ".join(fact.split())[:300],
            "duration_sec": 0,
            "attempt": attempt,
            "kind": "stage",
            "evidence": [],
            "outcome": {"exit_code": getattr(error, "exit_code", StageFailed.exit_code)},
        }
        _append(context, log, entry)


def _append(context: StageContext, log: LoopLog, entry: Record) -> Record:
    log.append(entry)
    entries = log.read()
    write_state(context.run, context.plan, entries)
    return fold(context.plan, entries)


def _failures(entries: Sequence[Record], phase: str, stage: str) -> int:
    """Count logged failures only: a killed attempt left no line and is done again under its number."""
    return sum(
        1
        for entry in entries
        if entry["iter"] == phase and entry["stage"] == stage and entry["status"] == "error"
    )


def _relative(path: Path, run: RunFolder) -> str:
    for root in (run.root, run.workspace.root):
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return path.as_posix()


# --- manifests ---------------------------------------------------------------------------------


def _write_manifest(folder: Path, record: Record) -> None:
    entries = [_file_entry(path, folder) for path in files.files_below(folder)]
    files.write_json(folder / MANIFEST, {**record, "files": entries})


def _final_name(value: Any, folder: Path, final: Path) -> Any:
    if isinstance(value, Path):
        inside = value.is_relative_to(folder)
        return str(final / value.relative_to(folder) if inside else value)
    return value


def _file_entry(path: Path, folder: Path) -> Record:
    entry: Record = {
        "path": path.relative_to(folder).as_posix(),
        "sha256": files.sha256_of_file(path),
        "size": path.stat().st_size,
    }
    rows = _rows(path)
    return entry if rows is None else {**entry, "rows": rows}


def _rows(path: Path) -> int | None:
    if path.suffix == ".parquet":
        return int(pyarrow.parquet.ParquetFile(path).metadata.num_rows)
    return None


def verify_manifest(folder: Path) -> Record:
    """Read a stage's manifest and check every file it names; the first difference is corruption."""
    manifest: Record = files.read_json(folder / MANIFEST)
    for entry in manifest["files"]:
        path = folder / entry["path"]
        if not path.is_file():
            raise Corruption("file of a finished stage is gone", value=path)
        if files.sha256_of_file(path) != entry["sha256"]:
            raise Corruption("file of a finished stage was changed", value=path)
    return manifest


def _manifest_evidence(folder: Path, run: RunFolder) -> Record:
    path = folder / MANIFEST
    content = path.read_bytes()
    return {
        "path": _relative(path, run),
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }
