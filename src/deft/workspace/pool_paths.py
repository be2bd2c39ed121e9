"""Where the images of a mining pool are: each path cell is resolved by existence, and by one reading only.

Users write `input_path` and `golden_path` as a folder or as a file, below the pool, its images folder, the
workspace's images folder or the workspace. A cell counts when exactly one reading of it leads to an image;
none or several stop the work and are listed (contracts/loop.md "Decided").
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pandas as pd

from deft.errors import InputRefused
from deft.workspace.image_columns import resolve_images
from deft.workspace.layout import Workspace
from deft.workspace.listing import Listing
from deft.workspace.rows import FIRST_DATA_ROW, LISTED, ImageLayout
from deft.workspace.safe_path import Roots


def resolve_pool_paths(table: pd.DataFrame, workspace: Workspace, layout: ImageLayout) -> pd.DataFrame:
    """Return the rows with both paths as folders relative to the workspace, whose images of all lights exist.

    Raises InputRefused with up to five cells that lead to no image or to several, each with its readings.
    """
    resolver = _Resolver(workspace, layout)
    resolved = {column: resolver.column(table, column) for column in ("input_path", "golden_path")}
    if resolver.failures:
        listed = resolver.failures[:LISTED]
        raise InputRefused(
            f"{len(resolver.failures)} path(s) of {workspace.mining_pool_table} do not lead to one image",
            value="\n  ".join(["", *listed, *(["..."] if len(resolver.failures) > LISTED else [])]),
            hint=f"images end in {' or '.join(layout.endings)} (input_map, image_ext of the spec)",
        )
    canonical = table.assign(**resolved)
    resolve_images(canonical, workspace.root, layout, resolver.listing)
    return canonical


class _Resolver:
    """The readings of path cells, with what is missing or ambiguous collected on the way."""

    def __init__(self, workspace: Workspace, layout: ImageLayout) -> None:
        self.root = str(workspace.root)
        self.layout = layout
        self.failures: list[str] = []
        self.listing = Listing(Roots.of_workspace(workspace))
        self._folders: dict[str, list[str]] = {}
        pool = workspace.mining_pool
        self._bases = [str(base) for base in (pool, pool / "images", workspace.images, workspace.root)]

    def column(self, table: pd.DataFrame, column: str) -> list[str]:
        """Return one folder a row, relative to the workspace; an unresolved cell is noted and stays."""
        cells, names = table[column].tolist(), table["object_name"].tolist()
        return [
            self._cell(cell, name, f"row {row} {column} `{cell[:120]}`")
            for row, (cell, name) in enumerate(zip(cells, names, strict=True), start=FIRST_DATA_ROW)
        ]

    def _cell(self, cell: str, name: str, origin: str) -> str:
        tried = list(self._readings(cell, name))
        ending = self.layout.endings[0]
        found = [folder for folder in tried if self.listing.has_file(f"{folder}/{name}{ending}")]
        distinct = {os.path.realpath(folder): folder for folder in found} if len(found) > 1 else found
        if len(distinct) == 1:
            return found[0].removeprefix(self.root).removeprefix("/") or "."
        if distinct:
            self.failures.append(f"{origin} leads to several: {', '.join(found)}")
        else:
            wanted = f"{name}{ending}"
            self.failures.append(f"{origin}: {wanted} is in none of {', '.join(tried) or 'the workspace'}")
        return cell

    def _readings(self, cell: str, name: str) -> Iterator[str]:
        """Yield the folders a cell may mean: as it is, and without its last part if that names the image."""
        yield from self._below_bases(cell)
        folder, last = os.path.split(cell.rstrip("/"))
        if last in self._spellings(name):
            yield from self._below_bases(folder)

    def _spellings(self, name: str) -> set[str]:
        lights = {f"{name}_{light}" for light in self.layout.lights}
        return {name, *lights, *(name + ending for ending in self.layout.endings)}

    def _below_bases(self, cell: str) -> list[str]:
        """Return the folders inside the workspace that a folder cell can mean, each once."""
        if cell not in self._folders:
            paths = [os.path.normpath(os.path.join(base, cell)) for base in self._bases]
            if os.path.isabs(cell):
                paths.append(os.path.realpath(cell))
            inside = (path for path in paths if path == self.root or path.startswith(self.root + "/"))
            self._folders[cell] = list(dict.fromkeys(inside))
        return self._folders[cell]
