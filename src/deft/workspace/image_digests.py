"""The content of all images that a table names as one digest: a plan is bound to it, a stage asks for it.

Hashing every image at every stage would read a data set again and again, so a digest is remembered within the
process for as long as no file was touched (size, times and inode; a change time cannot be set back by hand).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deft import files
from deft.errors import StateConflict
from deft.workspace.layout import Workspace
from deft.workspace.rows import ImageLayout, read_table
from deft.workspace.source_pool import pool_digest
from deft.workspace.training_spec import Spec, images_folder, read_baseline_spec

SPLITS = {
    "train": ("training_table", "train"),
    "validation": ("validation_table", "validation"),
    "kpi": ("kpi_table", "infer"),
    "holdout": ("holdout_table", "infer"),
}
TRAINED, SCORED = ("train", "validation"), ("kpi", "validation", "holdout")
_REMEMBERED: dict[str, str] = {}


def image_digests(workspace: Workspace) -> dict[str, str]:
    """Return one digest for all images that each table names, and one for the pool with its pairs."""
    return {"mining pool and pairs": pool_digest(workspace), **split_digests(workspace, SPLITS)}


def split_digests(workspace: Workspace, splits: Iterable[str], spec: Spec | None = None) -> dict[str, str]:
    """Return the digest of each split whose table is there; `spec` is the baseline spec unless given."""
    spec = read_baseline_spec(workspace) if spec is None else spec
    layout = ImageLayout.from_spec(spec)
    digests = {}
    for split in splits:
        path = _table(workspace, split)
        if path.is_file():
            images = images_folder(spec, SPLITS[split][1], workspace)
            digests[_name(workspace, split)] = _images_digest(path, images, layout)
    return digests


def approved_digests(plan: Mapping[str, Any], workspace: Workspace, splits: Iterable[str]) -> dict[str, str]:
    """Return what a plan holds of each split; a table that was absent has no digest."""
    names = [_name(workspace, split) for split in splits]
    return {name: plan["image_digests"][name] for name in names if name in plan["image_digests"]}


def agreed_images(plan: Mapping[str, Any], workspace: Workspace, splits: Sequence[str]) -> dict[str, str]:
    """Return the digests of some splits; an image that is not the approved one is refused by its table."""
    found = split_digests(workspace, splits)
    require_agreed(approved_digests(plan, workspace, splits), found, workspace)
    return found


def require_agreed(agreed: Mapping[str, str], found: Mapping[str, str], workspace: Workspace) -> None:
    """Refuse to go on when a digest is no longer the approved one, naming the table it belongs to."""
    for name in (*agreed, *found):
        if found.get(name) != agreed.get(name):
            raise StateConflict(
                "input changed since the approval",
                value=name,
                hint=f"put it back, or deft preflight {shlex.quote(str(workspace.root))} and approve again",
            )


def _name(workspace: Workspace, split: str) -> str:
    return f"images of {_table(workspace, split).relative_to(workspace.root).as_posix()}"


def _table(workspace: Workspace, split: str) -> Path:
    path: Path = getattr(workspace, SPLITS[split][0])
    return path


def _images_digest(table: Path, images: Path, layout: ImageLayout) -> str:
    rows = read_table(table)
    columns = ("input_path", "golden_path")
    names = {
        name for column in columns for light in layout.column_paths(rows, images, column) for name in light
    }
    paths = sorted(names)
    looks = files.sha256_of_record([[path, *files.look_of(path)] for path in paths])
    if looks not in _REMEMBERED:
        _REMEMBERED[looks] = files.sha256_of_record([_content(path) for path in paths])
    return _REMEMBERED[looks]


def _content(path: str) -> str | None:
    """Return the sha256 of a file, None for one that is gone: its table's digest then differs too."""
    try:
        return files.sha256_of_file(path)
    except FileNotFoundError:
        return None
