"""ChangeNet table rows: the columns, one form of a label, and the images that a row names.

A table has 14 columns of which four must be filled; further columns (scores, provenance) are kept behind
them. A row's image is `{images_dir}/{input_path}/{object_name}_{light}{extension}`
(contracts/tao-commands.md section 5). Row numbers in messages are a spreadsheet's: the header is row 1.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from deft import files
from deft.errors import InputRefused, UsageError
from deft.untrusted import UNSEEN
from deft.workspace.spreadsheets import is_formula
from deft.workspace.text_columns import read_text_columns

COLUMNS = (
    "input_path",
    "golden_path",
    "label",
    "object_name",
    "project",
    "boardname",
    "comp_type_2",
    "mpass_mfail",
    "is_valid",
    "comp_name",
    "part_type",
    "number_of_pins",
    "description",
    "comp_type_1",
)
REQUIRED = ("input_path", "golden_path", "label", "object_name")
PATHS = ("input_path", "golden_path", "object_name")
PASS = "PASS"

UNSAFE_PATH = r"\\|(^|/)\.\.(/|$)"  # what safe_path.fault_of says of one path, for a column
CONTROL_CHARACTERS = f"[\\p{{C}}\\p{{Zl}}\\p{{Zp}}{UNSEEN}]"
FIRST_DATA_ROW = 2
LISTED = 5


# --- labels ----------------------------------------------------------------------------------


def normalise_label(text: str) -> str:
    """Return the one form of a label: `PASS` exactly, any other lower case without outer blanks.

    The trainer knows only the exact `PASS`, the analysis folds case, so ` pass` would train as a defect and
    be scored as good: what differs from PASS only by case, width or blanks is refused.
    """
    if text == PASS:
        return PASS
    if _looks_like_pass(text):
        raise InputRefused(
            "label differs from PASS only by case or blanks", value=repr(text), hint=_PASS_HINT
        )
    label = text.strip().lower()
    if not label:
        raise InputRefused("label is empty", value=repr(text), hint="write PASS or the name of a defect type")
    return label


_PASS_HINT = "write PASS exactly for good parts, and another word for a defect type"


def _looks_like_pass(text: str) -> bool:
    folded = unicodedata.normalize("NFKC", text).casefold()
    visible = (letter for letter in folded if unicodedata.category(letter)[0] not in "CZ")
    return "".join(visible) == PASS.casefold()


def is_pass(labels: pd.Series[Any]) -> npt.NDArray[np.bool_]:
    """Return, row by row, whether a normalised label is PASS."""
    return np.asarray(labels == PASS, dtype=np.bool_)


# --- reading and writing ---------------------------------------------------------------------


def read_table(path: Path, *, images: ImageLayout | None = None) -> pd.DataFrame:
    """Read a table of rows, normalised: 14 columns, then whatever else the file has, all text.

    Refused, with the row: a missing required column, no rows, ragged rows, control characters, an empty
    required cell, a cell that a spreadsheet would run, a path with `..` or a backslash, a label that is PASS
    but for its spelling. Duplicate rows are allowed. With `images`, the object names are also checked not to
    carry the layout's extension.
    """
    table = read_text_columns(path, REQUIRED)
    _refuse_first(table, table.column_names, _has_control, "control character in", path)
    _refuse_first(table, REQUIRED, _is_blank, "empty", path)
    _refuse_first(table, REQUIRED, is_formula, "cell that a spreadsheet would run as a formula in", path)
    _refuse_first(table, PATHS, _is_unsafe_path, "path with `..` or a backslash in", path)
    _refuse_first(table, ("object_name",), _is_absolute, "absolute path instead of a name in", path)
    if images is not None:
        _refuse_first(table, ("object_name",), images.has_suffix, "file name instead of object name in", path)
    frame = table.to_pandas()
    frame["label"] = _normalise_labels(frame["label"], path)
    return _with_all_columns(frame)


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write a table of rows as CSV, the 14 columns first; every cell reads back as it was."""
    return files.write_csv(path, _with_all_columns(table))


@lru_cache(65_536)
def can_stand_in_a_row(text: str) -> bool:
    """Say whether a name may become a required cell: Unicode, not blank, no control, formula or path out."""
    try:
        cell = pa.array([text.encode("utf-8").decode("utf-8")], pa.string())
    except UnicodeError:
        return False
    bad = (_has_control, _is_blank, is_formula, _is_unsafe_path, _is_absolute)
    return not any(is_bad(cell)[0].as_py() for is_bad in bad)


def _has_control(cells: Any) -> Any:
    return pc.match_substring_regex(cells, CONTROL_CHARACTERS)


def _is_blank(cells: Any) -> Any:
    return pc.equal(pc.utf8_trim_whitespace(cells), "")


def _is_unsafe_path(cells: Any) -> Any:
    return pc.match_substring_regex(cells, UNSAFE_PATH)


def _is_absolute(cells: Any) -> Any:
    return pc.starts_with(cells, "/")


def _refuse_first(table: Any, columns: Iterable[str], is_bad: Any, fact: str, path: Path) -> None:
    for column in columns:
        row = pc.index(is_bad(table[column]), True).as_py()
        if row >= 0:
            cell = table[column][row].as_py()
            raise InputRefused(f"row {row + FIRST_DATA_ROW}: {fact} `{column}` ({cell[:80]!r})", value=path)


def _normalise_labels(labels: pd.Series[Any], path: Path) -> pd.Series[Any]:
    """Normalise each distinct label once; name the first row of one that is refused."""
    forms: dict[str, str] = {}
    for label in labels.unique():
        try:
            forms[label] = normalise_label(label)
        except InputRefused as refusal:
            row = int((labels == label).to_numpy().argmax()) + FIRST_DATA_ROW
            raise InputRefused(
                f"row {row}: {refusal.fact} ({label!r})", value=path, hint=refusal.hint
            ) from None
    changed = any(label != form for label, form in forms.items())
    return labels.map(forms).astype(labels.dtype) if changed else labels


def _with_all_columns(table: pd.DataFrame) -> pd.DataFrame:
    absent = {column: "" for column in COLUMNS if column not in table.columns}
    further = [column for column in table.columns if column not in COLUMNS]
    return table.assign(**absent)[[*COLUMNS, *further]]


# --- images ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImageLayout:
    """How a row's images are named: the lights in written order (none: no suffix) and the extension."""

    lights: tuple[str, ...] = ()
    extension: str = ".jpg"

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> ImageLayout:
        """Read `dataset.classify.input_map` (mapping, list or null) and `image_ext` of a training spec."""
        section = spec
        for key in ("dataset", "classify"):
            section = section.get(key) or {}
            if not isinstance(section, Mapping):
                raise UsageError(f"spec key `{key}` is not a mapping", value=type(section).__name__)
        return cls(_lights(section.get("input_map")), _extension(section.get("image_ext")))

    @classmethod
    def from_flags(cls, light: str | None, image_ext: str) -> ImageLayout:
        """Read what a command line says: lights separated by commas (none: no suffix) and an extension."""
        return cls(_lights(light.split(",") if light else None), _extension(image_ext))

    @property
    def endings(self) -> tuple[str, ...]:
        """What follows the object name in each image's file name, one a light."""
        return tuple(f"_{light}{self.extension}" for light in self.lights) or (self.extension,)

    def input_images(self, row: Mapping[Any, Any], images_dir: Path) -> list[Path]:
        """Return the images of a row, one a light; an absolute `input_path` stands alone."""
        return self._images(row["input_path"], row["object_name"], images_dir)

    def golden_images(self, row: Mapping[Any, Any], images_dir: Path) -> list[Path]:
        """Return the golden images of a row, one a light, in the order of `input_images`."""
        return self._images(row["golden_path"], row["object_name"], images_dir)

    def column_paths(self, table: pd.DataFrame, images_dir: Path, column: str) -> list[list[str]]:
        """Return for each light the image paths of all rows; `column` is `input_path` or `golden_path`."""
        root = os.path.join(images_dir, "")
        folders, names = table[column].tolist(), table["object_name"].tolist()
        stems = [os.path.join(root, folder, name) for folder, name in zip(folders, names, strict=True)]
        return [[stem + ending for stem in stems] for ending in self.endings]

    def has_suffix(self, cells: Any) -> Any:
        """Return, for an arrow column, which object names already end as an image file of this layout."""
        hits = [pc.ends_with(cells, ending) for ending in self.endings]
        result = hits[0]
        for hit in hits[1:]:
            result = pc.or_(result, hit)
        return result

    def _images(self, folder: str, name: str, images_dir: Path) -> list[Path]:
        return [images_dir / folder / f"{name}{ending}" for ending in self.endings]


def _lights(input_map: object) -> tuple[str, ...]:
    if input_map is None:
        return ()
    if isinstance(input_map, str) or not isinstance(input_map, Iterable):
        raise UsageError("`input_map` is neither a mapping, a list nor null", value=repr(input_map))
    lights = tuple(str(light) for light in input_map)
    if any(not light or "/" in light for light in lights) or len(set(lights)) < len(lights):
        raise UsageError("`input_map` holds an empty, doubled or path-like light", value=list(lights))
    return lights


def _extension(image_ext: object) -> str:
    if not isinstance(image_ext, str) or "/" in image_ext or not image_ext.strip(". "):
        raise UsageError("`dataset.classify.image_ext` is not a file extension", value=repr(image_ext))
    return image_ext if image_ext.startswith(".") else f".{image_ext}"


def prefix_rows(table: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """Return the table with `input_path` and `golden_path` below `prefix`; absolute paths stay."""

    def below(cells: pd.Series[Any]) -> pd.Series[Any]:
        return cells.where(cells.str.startswith("/"), prefix.rstrip("/") + "/" + cells)

    return table.assign(input_path=below(table["input_path"]), golden_path=below(table["golden_path"]))
