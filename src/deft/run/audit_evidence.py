"""What an audit of one stage may look at, and how it says that a record and the disk disagree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from deft import files
from deft.errors import Corruption
from deft.run.places import Places
from deft.workspace.layout import Phase, RunFolder, Workspace

Record = dict[str, Any]
RELATIVE, ABSOLUTE = 1e-9, 1e-12
"""Rounding of sums differs between processors; no threshold or rate is decided so far behind the point."""
RESTORE = "restore the run folder from a backup, or deft preflight for a new run"
SHOWN = 200


@dataclass
class Tally:
    """What an audit has gathered so far: facts checked, what it could not check, checkpoints by content."""

    checked: int = 0
    not_checked: list[str] = field(default_factory=list)
    checkpoints: dict[str, str] = field(default_factory=dict)

    def skip(self, sentence: str) -> None:
        """Note once what could not be checked."""
        if sentence not in self.not_checked:
            self.not_checked.append(sentence)

    def agree(self, where: str, file: str, recorded: object, found: object, hint: str = RESTORE) -> None:
        """Count one fact; raise Corruption where what was recorded is not what was found."""
        self.checked += 1
        difference = first_difference(recorded, found)
        if difference is not None:
            path, old, new = difference
            raise disagreement(where + (f" {path}" if path else ""), file, old, new, hint)


def disagreement(where: str, file: str, recorded: object, found: object, hint: str = RESTORE) -> Corruption:
    """Return the error that names a disagreement: where, in which file, what is recorded, what was found."""
    return Corruption(
        f"audit disagrees on {where}",
        value=f"{file}: recorded {_brief(recorded)}, found {_brief(found)}",
        hint=hint,
    )


def _brief(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def first_difference(recorded: Any, found: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """Return (path, recorded, found) of the first leaf in which two records differ, or None.

    Numbers agree up to rounding; a tuple agrees with the list that JSON makes of it.
    """
    if isinstance(recorded, Mapping) and isinstance(found, Mapping):
        names = [*recorded, *(name for name in found if name not in recorded)]
        pairs = [(_below(path, name), recorded.get(name, ABSENT), found.get(name, ABSENT)) for name in names]
    elif _is_list(recorded) and _is_list(found) and len(recorded) == len(found):
        both = zip(recorded, found, strict=True)
        pairs = [(_below(path, number), old, new) for number, (old, new) in enumerate(both)]
    else:
        return None if _same(recorded, found) else (path, recorded, found)
    differences = (first_difference(old, new, below) for below, old, new in pairs)
    return next((difference for difference in differences if difference is not None), None)


ABSENT = "nothing"


def without_newer(recorded: Any, found: Any, path: str = "") -> tuple[Any, list[str]]:
    """Return what was found without the figures that an older record lacks, and the names of those."""
    if not (isinstance(recorded, Mapping) and isinstance(found, Mapping)):
        return found, []
    kept, newer = {}, []
    for name, value in found.items():
        below = _below(path, name)
        if name not in recorded:
            newer.append(below)
            continue
        kept[name], more = without_newer(recorded[name], value, below)
        newer += more
    return kept, newer


def _below(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _same(recorded: object, found: object) -> bool:
    if isinstance(recorded, float) and isinstance(found, int | float) and not isinstance(found, bool):
        return math.isclose(recorded, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return type(recorded) is type(found) and recorded == found


@dataclass(frozen=True)
class Evidence:
    """One logged stage with everything that came before it.

    `entries` and `state` are the log and its fold up to the stage; `hashes` holds the sha256 of each file of
    its folder; `workspace` is None where the user's files are not here or no longer those of the plan.
    """

    run: RunFolder
    plan: Record
    entries: list[Record]
    state: Record
    phase: Phase
    stage: str
    folder: Path
    hashes: dict[str, str]
    workspace: Workspace | None
    tally: Tally

    @property
    def places(self) -> Places:
        return Places.of(self.run, self.plan)

    @property
    def incumbent(self) -> Record:
        """Return what is known of the best phase so far."""
        return self.figures(self.state["incumbent"])

    def figures(self, phase: str) -> Record:
        """Return what is known of a phase before this stage."""
        return dict(self.state["iterations"].get(phase, {}))

    def setting(self, name: str) -> Any:
        """Return the agreed value of a parameter."""
        return self.plan["settings"][name]["value"]

    def recorded(self, name: str) -> str:
        """Return the path under which a file of the stage's folder was recorded."""
        return self.places.recorded(self.folder / name)

    def agree(self, what: str, file: Path | str, recorded: object, found: object) -> None:
        """Count one fact of this stage; raise Corruption where record and disk differ."""
        self.tally.agree(f"{self.where} {what}", self.name_of(file), recorded, found)

    def refuse(self, what: str, file: Path | str, recorded: object, found: object) -> Corruption:
        """Return the error of a fact that cannot be put as a pair of equal values."""
        return disagreement(f"{self.where} {what}", self.name_of(file), recorded, found)

    def agree_on_rows(self, what: str, file: Path, recorded: pd.DataFrame, found: pd.DataFrame) -> None:
        """Compare two tables cell by cell, naming the first row that differs (the header is row 1)."""
        self.agree(f"{what}: columns", file, list(recorded.columns), list(found.columns))
        self.agree(f"{what}: number of rows", file, len(recorded), len(found))
        for name in recorded.columns:
            pairs = zip(recorded[name].tolist(), found[name].tolist(), strict=True)
            for row, (old, new) in enumerate(pairs, start=2):
                if not _same(old, new):
                    raise self.refuse(f"{what}: {name} of row {row}", file, old, new)

    @property
    def where(self) -> str:
        return f"{self.phase.name}/{self.stage}"

    def name_of(self, file: Path | str) -> str:
        """Return a file's name relative to the run."""
        path = Path(file) if isinstance(file, Path) else self.folder / file
        return path.relative_to(self.run.root).as_posix() if path.is_relative_to(self.run.root) else str(path)

    def read_record(self, name: str) -> Any:
        """Read a JSON file of the stage's folder."""
        return files.read_json(self.folder / name)

    def read_rows(self, name: str) -> pd.DataFrame:
        """Read a Parquet file of the stage's folder."""
        return files.read_parquet(self.folder / name)
