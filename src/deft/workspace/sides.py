"""The sides of a workspace that no image may stand on twice: train, validation, KPI, held out, pool."""

from __future__ import annotations

from deft.workspace.layout import Workspace
from deft.workspace.leakage import Side
from deft.workspace.pool_paths import resolve_pool_paths
from deft.workspace.rows import ImageLayout, read_table
from deft.workspace.training_spec import images_folder, read_baseline_spec


def workspace_sides(workspace: Workspace) -> list[Side]:
    """Return every side of a workspace with the images of all its rows; the held-out set is optional."""
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
        if name != "holdout" or path.is_file()
    ]
    pool = resolve_pool_paths(read_table(workspace.mining_pool_table), workspace, layout)
    return [*sides, Side.of_table("pool", pool, workspace.root, layout)]
