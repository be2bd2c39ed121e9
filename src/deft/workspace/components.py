"""Components of a table: one row, its images of all lights, its goldens, and one name for it."""

from __future__ import annotations

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
    rows = list(table.to_dict("records"))
    inputs = [layout.input_images(row, images_dir) for row in rows]
    goldens = [layout.golden_images(row, images_dir) for row in rows]
    components["filepath"] = [str(paths[0]) for paths in inputs]
    components["golden_filepath"] = [str(paths[0]) for paths in goldens]
    components["component_id"] = [layout.component_id(row) for row in rows]
    if len(layout.lights) > 1:
        components["light_filepaths"] = [[str(path) for path in paths] for paths in inputs]
        components["golden_light_filepaths"] = [[str(path) for path in paths] for paths in goldens]
    return components


def kpi_components(workspace: Workspace) -> pd.DataFrame:
    """Return the component table of the KPI set."""
    spec = read_baseline_spec(workspace)
    images = images_folder(spec, "infer", workspace)
    return component_table(read_table(workspace.kpi_table), images, ImageLayout.from_spec(spec))


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
