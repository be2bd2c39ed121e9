"""What every stage does: work in an attempt folder, then commit in one order, so that none forgets.

Order: outputs into `<folder>.attempt-<n>`, fsync, manifest, rename, log line, state. A stage without
its log line did not happen; a folder that has its manifest but not yet its name or its line is adopted.
"""

from __future__ import annotations

import shlex
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from deft import files
from deft.errors import DeftError, StageFailed, StateConflict, storage_fault
from deft.platforms.base import CallIdentity, Platform, ToolCall
from deft.progress import Progress
from deft.run.log import LoopLog
from deft.run.manifests import MANIFEST, manifest_evidence, verify_manifest, write_manifest
from deft.run.state import append_and_fold
from deft.run.transitions import next_attempt
from deft.untrusted import untrusted
from deft.versions import code_version
from deft.workspace.layout import Phase, RunFolder, timestamp

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
    stage: str = ""
    attempt: int = 0
    key: str = ""

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
        """Have the platform carry out tool calls, each of which bears the stage's identity."""
        identity = CallIdentity(self.run.root.name, self.phase.name, self.stage, self.attempt, self.key)
        self.platform.run([replace(call, identity=identity) for call in calls], self.progress)


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
        attempt = next_attempt(log.read(), context.phase.name, self.name)
        context = replace(context, stage=self.name, attempt=attempt)
        try:
            inputs = {
                _relative(path, context.run): files.sha256_of_file(path) for path in self.reads(context)
            }
            _require_agreed(inputs, context)
            key = self._key(context, inputs)
            context = replace(context, key=key)
            folder = self._finished(context, key) or self._attempt(context, inputs, key, attempt)
            manifest = verify_manifest(folder)
            self.publish(context, folder)
        except (DeftError, OSError) as error:
            self._record_failure(context, log, attempt, error)
            raise
        return self._record(context, log, attempt, folder, manifest)

    def _attempt(self, context: StageContext, inputs: Record, key: str, attempt: int) -> Path:
        place = self.place(context)
        folder = self._attempt_folder(place, attempt, key)
        manifest = _manifest_of(folder, key)
        if manifest is None:
            self._open(folder, key)
            final = place / timestamp() if self.timestamped else place
            record = {"stage": self.name, "phase": context.phase.name, "attempt": attempt, "key": key}
            manifest = self._do(context, folder, final, {**record, "inputs": inputs})
        return _put_in_place(folder, context.run.root / manifest["folder"])

    def _do(self, context: StageContext, folder: Path, final: Path, record: Record) -> Record:
        """Work, make every output durable, and only then say in the manifest that the work is done."""
        started = time.monotonic()
        outcome = self.work(context, folder)
        values = {name: _final_name(value, folder, final) for name, value in outcome.values.items()}
        seconds = round(time.monotonic() - started, 3)
        files.sync_tree(folder)
        events = [untrusted(event) for event in outcome.events]
        told = {"summary": untrusted(outcome.summary), "values": values, "events": events}
        place = {"folder": _relative(final, context.run), "seconds": seconds, "outcome": told}
        return write_manifest(folder, {**record, **place}, without=(KEY,))

    def _attempt_folder(self, place: Path, attempt: int, key: str) -> Path:
        """Return a failed attempt's folder to go on in, or a new one; no other stays on the disk."""
        chosen = place.parent / f"{place.name}.attempt-{attempt}"
        for left in sorted(place.parent.glob(f"{place.name}.attempt-*")):
            if _manifest_of(left, key) is not None or self._can_go_on(left, key):
                chosen = left
            elif left != chosen:
                shutil.rmtree(left)
        return chosen

    def _can_go_on(self, folder: Path, key: str) -> bool:
        mark = folder / KEY
        return self.keeps_partial_work and mark.is_file() and mark.read_text() == key

    def _open(self, folder: Path, key: str) -> None:
        """Start empty, or go on with partial work that was done for the very same inputs."""
        mark = folder / KEY
        if folder.exists() and not self._can_go_on(folder, key):
            shutil.rmtree(folder)
        files.make_folder(folder)
        files.remove_temporaries(folder)
        files.write_text(mark, key)

    def _finished(self, context: StageContext, key: str) -> Path | None:
        place = self.place(context)
        candidates = sorted(place.glob("*")) if self.timestamped else [place]
        for folder in reversed(candidates):
            if ".attempt-" not in folder.name and _manifest_of(folder, key) is not None:
                return folder
        return None

    def _key(self, context: StageContext, inputs: Record) -> str:
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
        return append_and_fold(
            context.run,
            context.plan,
            log,
            {
                "iter": context.phase.name,
                "stage": self.name,
                "status": "ok",
                "summary": outcome["summary"],
                "duration_sec": round(manifest["seconds"]),
                "attempt": attempt,
                "kind": "stage",
                "evidence": [manifest_evidence(folder, manifest["folder"])],
                "outcome": {
                    "values": outcome["values"],
                    "events": outcome["events"],
                    "key": manifest["key"],
                    "seconds": manifest["seconds"],
                    "folder": manifest["folder"],
                    "inputs": manifest["inputs"],
                    "outputs": {entry["path"]: entry["sha256"] for entry in manifest["files"]},
                },
            },
        )[1]

    def _record_failure(
        self, context: StageContext, log: LoopLog, attempt: int, error: DeftError | OSError
    ) -> None:
        known = error if isinstance(error, DeftError) else storage_fault(error)
        fact = known.fact if known else f"{type(error).__name__}: {error}"
        entry = {
            "iter": context.phase.name,
            "stage": self.name,
            "status": "error",
            "summary": fact,
            "duration_sec": 0,
            "attempt": attempt,
            "kind": "stage",
            "evidence": [],
            "outcome": {"exit_code": (known or StageFailed).exit_code},
        }
        append_and_fold(context.run, context.plan, log, entry)


def _relative(path: Path, run: RunFolder) -> str:
    for root in (run.root, run.workspace.root):
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return path.as_posix()


def _require_agreed(inputs: Record, context: StageContext) -> None:
    """Refuse to work with an input that is no longer the one of the plan, by its name."""
    for name, digest in inputs.items():
        if context.plan.get("inputs", {}).get(name, digest) != digest:
            raise StateConflict(
                "input changed since the approval",
                value=name,
                hint=f"put it back, or deft preflight {shlex.quote(str(context.run.workspace.root))}",
            )


# --- folders -----------------------------------------------------------------------------------


def _manifest_of(folder: Path, key: str) -> Record | None:
    """Return the manifest of a folder whose work was done for exactly this key, or None."""
    if not (folder / MANIFEST).is_file():
        return None
    manifest: Record = files.read_json(folder / MANIFEST)
    return manifest if manifest.get("key") == key else None


def _put_in_place(folder: Path, final: Path) -> Path:
    (folder / KEY).unlink(missing_ok=True)
    if final.exists():
        shutil.rmtree(final)
    files.make_folder(final.parent)
    files.sync_folder(folder)
    folder.rename(final)
    files.sync_folder(final.parent)
    if folder.parent != final.parent:
        files.sync_folder(folder.parent)
    return final


def _final_name(value: Any, folder: Path, final: Path) -> Any:
    if isinstance(value, Path):
        inside = value.is_relative_to(folder)
        return str(final / value.relative_to(folder) if inside else value)
    return value
