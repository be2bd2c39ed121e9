"""Read golden and test folders with a table of labels, and refuse what cannot be paired."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from deft import files
from deft.errors import InputRefused
from deft.workspace.rows import CONTROL_CHARACTERS, FIRST_DATA_ROW, PASS, can_stand_in_a_row, normalise_label
from deft.workspace.safe_path import Roots
from deft.workspace.spreadsheets import is_formula

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
LISTED = 5
Pictures = dict[str, Path]


@dataclass(frozen=True)
class Columns:
    """How the columns of the table of labels are called; `board` and `defect` may be absent (None)."""

    image: str = "image"
    label: str = "label"
    board: str | None = None
    defect: str | None = None


@dataclass(frozen=True)
class Component:
    """One labelled part: its pictures, one a light, and its golden ones in the same order."""

    name: str
    label: str
    group: str
    tests: tuple[Path, ...]
    goldens: tuple[Path, ...]


def read_components(
    golden_dir: Path,
    test_dir: Path,
    labels_csv: Path,
    *,
    columns: Columns,
    lights: Sequence[str] = (),
    pass_label: str = PASS,
) -> list[Component]:
    """Return every labelled component, sorted by name.

    Refused, with up to five of each: an unknown column, a label without picture, a picture without label, one
    without golden, a name twice, two test pictures with the same content, labels of one class only.
    """
    table = _read_labels(labels_csv, columns)
    names = [_stem(cell) for cell in table[columns.image]]
    _refuse_repeated(names, labels_csv)
    tests, goldens = _pictures(test_dir, lights), _pictures(golden_dir, lights)
    _refuse_unpaired(names, tests, goldens, lights, (labels_csv, test_dir, golden_dir))
    _refuse_same_content([path for pictures in tests.values() for path in pictures.values()])
    labels = _labels(table, columns, pass_label, labels_csv)
    groups = _groups(table, columns, names, goldens, labels_csv)
    components = [
        Component(name, label, group, tuple(tests[name].values()), tuple(goldens[name].values()))
        for name, label, group in zip(names, labels, groups, strict=True)
    ]
    _require_both_classes(components, labels_csv, pass_label)
    return sorted(components, key=lambda component: component.name)


# --- the table of labels ---------------------------------------------------------------------


def _read_labels(path: Path, columns: Columns) -> pd.DataFrame:
    table = files.read_csv(path)
    named = {"image": columns.image, "label": columns.label, "board": columns.board, "defect": columns.defect}
    missing = [
        f"{role} column `{name}`" for role, name in named.items() if name and name not in table.columns
    ]
    if missing:
        raise InputRefused(
            f"table of labels has no {' and no '.join(missing)}",
            value=f"{path} (it has {', '.join(map(str, table.columns))})",
            hint="name the columns: --image-column, --label-column, --board-column, --defect-column",
        )
    if table.empty:
        raise InputRefused("table of labels has no rows", value=path)
    return table


def _stem(cell: str) -> str:
    name = cell.strip().replace("\\", "/").rsplit("/", 1)[-1]
    stem, dot, ending = name.rpartition(".")
    return stem if dot and f".{ending.lower()}" in EXTENSIONS else name


def _refuse_repeated(names: Sequence[str], path: Path) -> None:
    first: dict[str, int] = {}
    repeated = []
    for row, name in enumerate(names, FIRST_DATA_ROW):
        if not can_stand_in_a_row(name):
            raise InputRefused(
                f"row {row} of {path}: image name is blank or cannot stand in a table", value=repr(name)
            )
        if first.setdefault(name, row) != row:
            repeated.append(f"{name} (rows {first[name]} and {row})")
    if repeated:
        raise InputRefused(f"{path} names {len(repeated)} image(s) twice", value=_listed(repeated))


def _labels(table: pd.DataFrame, columns: Columns, pass_label: str, path: Path) -> list[str]:
    defects = table[columns.defect] if columns.defect else pd.Series([""] * len(table))
    labels = []
    for row, (cell, defect) in enumerate(zip(table[columns.label], defects, strict=True), FIRST_DATA_ROW):
        try:
            labels.append(PASS if cell.strip() == pass_label else _defect_type(cell, defect))
        except InputRefused as refusal:
            raise InputRefused(
                f"row {row} of {path}: {refusal.fact}", value=refusal.value, hint=refusal.hint
            ) from None
    return labels


def _defect_type(cell: str, defect: str) -> str:
    """Return the label of a defective part; what the workspace's tables refuse is refused of the user's."""
    label = normalise_label(defect if defect.strip() else cell)
    if label == PASS:
        raise InputRefused("defect type of a defective part is PASS", value=cell)
    if _holds_control(label):
        raise InputRefused("label holds a control character", value=repr(label))
    if _runs_in_a_spreadsheet(label):
        raise InputRefused(
            "label begins like a formula that a spreadsheet would run",
            value=repr(label),
            hint="write the defect type as a word",
        )
    return label


@lru_cache
def _runs_in_a_spreadsheet(cell: str) -> bool:
    return bool(is_formula(pa.array([cell], pa.string()))[0].as_py())


@lru_cache(65_536)
def _holds_control(cell: str) -> bool:
    found = pc.match_substring_regex(pa.array([cell], pa.string()), CONTROL_CHARACTERS)
    return bool(found[0].as_py())


def _require_both_classes(components: Sequence[Component], path: Path, pass_label: str) -> None:
    good = sum(component.label == PASS for component in components)
    if good in (0, len(components)):
        raise InputRefused(
            f"table of labels has one class only: {good} good and {len(components) - good} defective rows",
            value=path,
            hint=f"good rows say `{pass_label}` (--pass-label), every other label is a defect type; "
            f"the table holds {_most_common(components)}",
        )


def _most_common(components: Sequence[Component]) -> str:
    counts = Counter(component.label for component in components).most_common(5)
    return ", ".join(f"{label} {count}" for label, count in counts)


def _groups(
    table: pd.DataFrame, columns: Columns, names: Sequence[str], goldens: dict[str, Pictures], path: Path
) -> list[str]:
    """Return the board of each row, or what stands for it: the content of its golden picture."""
    if columns.board is None:
        return [files.sha256_of_file(next(iter(goldens[name].values())))[:12] for name in names]
    groups = [str(cell).strip() for cell in table[columns.board]]
    for row, (board, name) in enumerate(zip(groups, names, strict=True), FIRST_DATA_ROW):
        if not board:
            raise InputRefused(f"row {row} of {path}: board is empty", value=name)
        if _holds_control(board):
            raise InputRefused(f"row {row} of {path}: board holds a control character", value=repr(board))
    return groups


# --- the folders -----------------------------------------------------------------------------


def _pictures(folder: Path, lights: Sequence[str]) -> dict[str, Pictures]:
    """Return each component's pictures by light, in the order of `lights`; a light may be `""`."""
    if not folder.is_dir():
        raise InputRefused("folder does not exist", value=folder)
    found: dict[str, Pictures] = defaultdict(dict)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in EXTENSIONS and path.is_file():
            name, light = _split_light(path.stem, lights)
            if light in found[name]:
                raise InputRefused("one image has two files", value=f"{found[name][light].name}, {path}")
            found[name][light] = path
    Roots.of(folder).require(path for pictures in found.values() for path in pictures.values())
    if not found:
        raise InputRefused(f"folder holds no {', '.join(EXTENSIONS)} image", value=folder)
    order = list(lights) or [""]
    return {name: {light: lit[light] for light in order if light in lit} for name, lit in found.items()}


def _split_light(stem: str, lights: Sequence[str]) -> tuple[str, str]:
    for light in lights:
        if stem.endswith(f"_{light}"):
            return stem.removesuffix(f"_{light}"), light
    if lights:
        raise InputRefused(
            f"picture's name ends in no light of {', '.join(lights)}",
            value=stem,
            hint="name every light of the pictures with --light, or take this picture out of the folder",
        )
    return stem, ""


def _refuse_unpaired(
    names: Sequence[str],
    tests: dict[str, Pictures],
    goldens: dict[str, Pictures],
    lights: Sequence[str],
    origins: tuple[Path, Path, Path],
) -> None:
    labels_csv, test_dir, golden_dir = origins
    wanted = max(len(lights), 1)
    faults = {
        f"labelled image(s) not in {test_dir}": [n for n in names if len(tests.get(n, ())) < wanted],
        f"image(s) of {test_dir} not in {labels_csv}": sorted(set(tests) - set(names)),
        f"image(s) without golden in {golden_dir}": [n for n in names if len(goldens.get(n, ())) < wanted],
    }
    for fact, unpaired in faults.items():
        if unpaired:
            raise InputRefused(
                f"{len(unpaired)} {fact}",
                value=_listed(unpaired),
                hint="every label needs a test and a golden image of the same name (and of every light)",
            )


def _refuse_same_content(paths: Sequence[Path]) -> None:
    first: dict[str, Path] = {}
    same = []
    for path in paths:
        kept = first.setdefault(files.sha256_of_file(path), path)
        if kept != path:
            same.append(f"{kept.name} = {path.name}")
    if same:
        raise InputRefused(
            f"{len(same)} test image(s) repeat the content of another",
            value=_listed(same),
            hint="keep one of each and its label",
        )


def _listed(items: Sequence[str]) -> str:
    return ", ".join(items[:LISTED]) + (", ..." if len(items) > LISTED else "")
