"""Look at a workspace before anything runs: every table, image, pair and overlap, without writing a byte."""

from __future__ import annotations

import os
import shlex
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from deft import files
from deft.errors import InputRefused
from deft.workspace.image_columns import resolve_images
from deft.workspace.image_digests import SPLITS, image_digests, require_agreed
from deft.workspace.images import open_image
from deft.workspace.layout import Workspace
from deft.workspace.leakage import LeakageReport, assert_disjoint, find_overlaps
from deft.workspace.pairs import pair_stems
from deft.workspace.rows import PASS, ImageLayout, read_table
from deft.workspace.sides import workspace_sides
from deft.workspace.training_spec import Spec, images_folder, read_baseline_spec


@dataclass(frozen=True)
class Inspection:
    """What a workspace holds."""

    workspace: Workspace
    spec: Spec
    layout: ImageLayout
    tables: dict[str, pd.DataFrame]
    pool: pd.DataFrame
    pairs: int
    leakage: LeakageReport
    inputs: dict[str, str | None] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)

    def rows(self, split: str) -> tuple[int, int]:
        """Return the number of PASS and of defect rows of a split."""
        labels = self.tables[split]["label"]
        passing = int((labels == PASS).sum())
        return passing, len(labels) - passing


def inspect_workspace(workspace: Workspace) -> Inspection:
    """Read and check everything a run needs; the first broken rule is refused, naming file and row."""
    _require_room_for_runs(workspace)
    spec = read_baseline_spec(workspace)
    layout = ImageLayout.from_spec(spec)
    if not layout.lights:
        raise InputRefused(
            "spec names no light, and gap analysis expands its rows by lights",
            value="dataset.classify.input_map",
            hint="name images OBJECT_LIGHT.ext and write input_map: {LIGHT: 0}",
        )
    tables = {
        split: _read_split(workspace, spec, layout, split)
        for split, (attribute, _) in SPLITS.items()
        if split != "holdout" or getattr(workspace, attribute).is_file()
    }
    pool = read_table(workspace.mining_pool_table)
    pairs = pair_stems(workspace.reconstructed_images, workspace.original_images)
    sides = workspace_sides(workspace)
    leakage = find_overlaps(sides)
    assert_disjoint(leakage)
    goldens = {path for side in sides for path in side.golden_paths()}
    _require_readable([*goldens, *(str(path) for pair in pairs for path in (pair.ng, pair.ok))])
    inputs, images = input_digests(workspace), image_digests(workspace)
    return Inspection(workspace, spec, layout, tables, pool, len(pairs), leakage, inputs, images)


def _require_room_for_runs(workspace: Workspace) -> None:
    """Refuse a workspace in which no run's folder can be made, before anybody approves one."""
    results = workspace.results
    if os.path.lexists(results) and not results.is_dir():
        where = shlex.quote(str(results))
        raise InputRefused(
            "`results` is no folder, and runs are made in it", value=results, hint=f"mv {where} {where}.old"
        )


def _require_readable(paths: list[str]) -> None:
    """Decode what the comparison of the sides did not, so that a broken picture is named now."""
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(open_image, sorted(paths)):
            pass


def _read_split(workspace: Workspace, spec: Spec, layout: ImageLayout, split: str) -> pd.DataFrame:
    attribute, block = SPLITS[split]
    path: Path = getattr(workspace, attribute)
    table = read_table(path)
    resolve_images(table, images_folder(spec, block, workspace), layout)
    _refuse_numbers(table, path)
    classes = table["label"] == PASS
    if classes.all() or not classes.any():
        only = "PASS" if classes.all() else "defect"
        raise InputRefused(
            f"table holds {only} rows only, {split} needs both",
            value=path,
            hint="add rows of the other class",
        )
    return table


def _refuse_numbers(table: pd.DataFrame, path: Path) -> None:
    """Refuse names that gap analysis, which reads them as pandas does, would turn into numbers."""
    for column in ("object_name", "input_path"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        if numbers.notna().all() and (numbers.astype(str) != table[column]).any():
            raise InputRefused(
                f"every {column} is a number, and TAO's gap analysis would read `001` as `1`",
                value=path,
                hint="put a letter before them, in the table and in the file names",
            )


def input_digests(workspace: Workspace) -> dict[str, str | None]:
    """Return the sha256 of the spec and of every table, None for one that is absent."""
    paths = [workspace.baseline_spec, *(getattr(workspace, name) for name, _ in SPLITS.values())]
    paths += [workspace.mining_pool_table, workspace.defect_spec]
    return {
        path.relative_to(workspace.root).as_posix(): files.sha256_of_file(path) if path.is_file() else None
        for path in paths
    }


def require_unchanged_images(plan: dict[str, Any], workspace: Workspace) -> None:
    """Refuse to go on when an image is no longer what was approved, naming the table it belongs to."""
    require_agreed(plan["image_digests"], image_digests(workspace), workspace)
