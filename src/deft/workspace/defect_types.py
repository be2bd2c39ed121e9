"""The defect type of a synthetic pair: what the user's specification says, else what the stem says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deft import files
from deft.errors import InputRefused
from deft.workspace.rows import PASS, can_stand_in_a_row, normalise_label

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp")
UNKNOWN_DEFECT = "ng"
LISTED = 10


def defect_types(stems: Iterable[str], defect_spec: Path | None) -> dict[str, str]:
    """Return the defect type of each stem: `defect_spec.jsonl`, else `<x>+<type>_<n>` in it, else `ng`.

    A line of the file is an object with `defect_type` (or `label`) and, where it speaks of single pictures,
    `stem` (or `name`, `image`: a file name or path) or a list of them under `stems` (`names`, `images`). A
    line that names no picture describes a type as a whole and gives no stem its label.
    """
    named = _read_defect_spec(defect_spec) if defect_spec and defect_spec.is_file() else {}
    types = {stem: named.pop(stem, "") or _type_in_stem(stem) for stem in stems}
    if named:
        raise InputRefused(
            f"{len(named)} stem(s) of the defect specification have no picture",
            value=f"{defect_spec}: {', '.join(sorted(named)[:LISTED])}",
        )
    return types


def _type_in_stem(stem: str) -> str:
    """Read `<x>+<type>_<n>` from its end on: a pattern would try every plus sign with every underscore."""
    body, _, number = stem.rpartition("_")
    front, _, label = body[:-1].rpartition("+")
    is_typed = bool(front) and number.isdecimal()
    return _defect_label(label + body[-1:], stem) if is_typed else UNKNOWN_DEFECT


def _defect_label(text: str, origin: object) -> str:
    label = normalise_label(text)
    if label == PASS or not can_stand_in_a_row(label):
        raise InputRefused("defect type cannot be a label of a defect", value=f"{text!r} of {origin}")
    return label


def _read_defect_spec(path: Path) -> dict[str, str]:
    types: dict[str, str] = {}
    for number, line in enumerate(files.read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        origin = f"{path} line {number}"
        label, stems = _read_entry(line, origin)
        for stem in stems:
            if types.setdefault(stem, label) != label:
                raise InputRefused(f"stem `{stem}` has two defect types", value=origin)
    return types


def _read_entry(line: str, origin: str) -> tuple[str, list[str]]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        raise InputRefused("line of the defect specification is not JSON", value=origin) from None
    text = entry.get("defect_type", entry.get("label")) if isinstance(entry, dict) else None
    if not isinstance(text, str):
        raise InputRefused("line of the defect specification has no `defect_type`", value=origin)
    return _defect_label(text, origin), [_stem_of(name, origin) for name in _names_of(entry)]


def _names_of(entry: dict[str, Any]) -> list[Any]:
    for key in ("stem", "name", "image"):
        if key in entry:
            return [entry[key]]
        if isinstance(entry.get(key + "s"), list):
            return list(entry[key + "s"])
    return []


def _stem_of(name: object, origin: str) -> str:
    if not isinstance(name, str):
        raise InputRefused("line of the defect specification names a picture by no text", value=origin)
    base = os.path.basename(name)
    stem, extension = os.path.splitext(base)
    return stem if extension.lower() in EXTENSIONS else base
