"""The sides of a workspace that no image may stand on twice: train, validation, KPI, held out, pool.

The pool is whatever mining may take from: a generated picture that is a test picture is a leak as well."""

from __future__ import annotations

from collections.abc import Collection

from deft.workspace.defect_types import defect_types
from deft.workspace.layout import Workspace
from deft.workspace.leakage import Side
from deft.workspace.pairs import pair_stems
from deft.workspace.pool_paths import resolve_pool_paths
from deft.workspace.rows import FIRST_DATA_ROW, ImageLayout, read_table
from deft.workspace.training_spec import images_folder, read_baseline_spec

SIDES = ("train", "validation", "kpi", "holdout", "pool")


def workspace_sides(workspace: Workspace, names: Collection[str] = SIDES) -> list[Side]:
    """Return sides of a workspace with the images of all their rows; the held-out set is optional."""
    spec = read_baseline_spec(workspace)
    layout = ImageLayout.from_spec(spec)
    tables = {
        "train": (workspace.training_table, "train"),
        "validation": (workspace.validation_table, "validation"),
        "kpi": (workspace.kpi_table, "infer"),
        "holdout": (workspace.holdout_table, "infer"),
    }
    sides = [
        Side.of_table(name, read_table(path), images_folder(spec, block, workspace), layout)
        for name, (path, block) in tables.items()
        if name in names and (name != "holdout" or path.is_file())
    ]
    return [*sides, _pool_side(workspace, layout)] if "pool" in names else sides


def _pool_side(workspace: Workspace, layout: ImageLayout) -> Side:
    """Return everything that mining may take: the pool's rows and, as further rows, the generated pairs."""
    table = resolve_pool_paths(read_table(workspace.mining_pool_table), workspace, layout)
    pairs = pair_stems(workspace.reconstructed_images, workspace.original_images)
    types = defect_types([pair.stem for pair in pairs], workspace.defect_spec)
    return Side.of_table("pool", table, workspace.root, layout).followed_by(
        [(str(pair.ng), str(pair.ok), types[pair.stem]) for pair in pairs],
        first_row=FIRST_DATA_ROW + len(table),
    )
