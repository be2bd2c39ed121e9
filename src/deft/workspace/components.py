"""Components of a table: one row, its images of all lights, its goldens, and one name for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from deft.errors import InputRefused
from deft.workspace.layout import Workspace
from deft.workspace.rows import ImageLayout, read_table
from deft.workspace.training_spec import images_folder, read_baseline_spec

JOINED = ("input_path", "object_name", "golden_filepath", "component_id")


def component_table(table: pd.DataFrame, images_dir: Path, layout: ImageLayout) -> pd.DataFrame:
    """Add to each row its first light's `filepath` and `golden_filepath`, and its `component_id`.

    With several lights `light_filepaths` and `golden_light_filepaths` list all of them.
    """
    components = table.copy()
    for side, named in (("input_path", ""), ("golden_path", "golden_")):
        lights = layout.column_paths(table, images_dir, side)
        paths = [[str(Path(path)) for path in light] for light in lights]
        components[f"{named}filepath"] = paths[0]
        if len(paths) > 1:
            components[f"{named}light_filepaths"] = [list(row) for row in zip(*paths, strict=True)]
    components["component_id"] = table["input_path"] + "/" + table["object_name"]
    return components


def kpi_components(workspace: Workspace, positions: Sequence[int] | None = None) -> pd.DataFrame:
    """Return the component table of the KPI set; with positions, of those rows that there are."""
    spec = read_baseline_spec(workspace)
    images = images_folder(spec, "infer", workspace)
    table = read_table(workspace.kpi_table)
    wanted = table if positions is None else table[table.index.isin(positions)]
    return component_table(wanted, images, ImageLayout.from_spec(spec))


def join_gaps(gaps: pd.DataFrame, components: pd.DataFrame) -> pd.DataFrame:
    """Reduce gaps (one row a light) to components (one row, the first light), with the joined columns.

    A gap whose image is in no row of the table is refused: the two do not belong together.
    """
    known = _by_any_light(components)
    positions = gaps["filepath"].map(known)
    if positions.isna().any():
        unknown = gaps.loc[positions.isna(), "filepath"].iloc[0]
        raise InputRefused("weak sample is not an image of the KPI table", value=unknown)
    kept = gaps.assign(_position=positions.astype(int)).drop_duplicates("_position").reset_index(drop=True)
    found = components.iloc[kept["_position"].to_numpy()].reset_index(drop=True)
    lights = [column for column in found.columns if column.endswith("light_filepaths")]
    kept["filepath"] = found["filepath"]
    return pd.concat([kept.drop(columns="_position"), found[[*JOINED, *lights]]], axis=1)


def _by_any_light(components: pd.DataFrame) -> dict[str, int]:
    if "light_filepaths" not in components:
        return {path: i for i, path in enumerate(components["filepath"])}
    return {path: i for i, paths in enumerate(components["light_filepaths"]) for path in paths}
