"""The images of many rows as columns: a path stands once, and a row names it by its number.

A million rows often show far fewer pictures, and a number takes four bytes where a path takes a hundred.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deft.errors import InputRefused
from deft.workspace.listing import Listing
from deft.workspace.rows import FIRST_DATA_ROW, LISTED, ImageLayout
from deft.workspace.safe_path import Roots

BLOCK_ROWS = 65_536

Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True)
class ImageColumns:
    """Distinct paths, and for each image (all rows of the first light, then of the next) its two numbers."""

    paths: list[str]
    inputs: Numbers
    goldens: Numbers

    @classmethod
    def of(cls, table: pd.DataFrame, images_dir: Path, layout: ImageLayout) -> ImageColumns:
        """Return the images that the rows of a table name under an image root."""
        stems, numbers = _stems(table, images_dir)
        paths = [stem + ending for ending in layout.endings for stem in stems]
        lights = np.arange(len(layout.endings), dtype=np.int32)[:, None] * np.int32(len(stems))
        inputs, goldens = np.split(numbers, 2)
        return cls(paths, (inputs + lights).ravel(), (goldens + lights).ravel())

    def without(self, listing: Listing, rows: int) -> Iterator[tuple[int, str]]:
        """Yield the row, of so many, and the path of every image that is no file of a listing."""
        absent = np.array([not listing.has_file(path) for path in self.paths], dtype=np.bool_)
        for numbers in (self.inputs, self.goldens):
            for image in np.flatnonzero(absent[numbers]):
                yield int(image) % rows, self.paths[numbers[image]]

    def joined(self, other: ImageColumns) -> ImageColumns:
        """Return these images with those of `other` behind them."""
        begin = np.int32(len(self.paths))
        return ImageColumns(
            self.paths + other.paths,
            np.concatenate([self.inputs, other.inputs + begin]),
            np.concatenate([self.goldens, other.goldens + begin]),
        )


def _stems(table: pd.DataFrame, images_dir: Path) -> tuple[list[str], Numbers]:
    """Return the distinct paths without light and extension; the numbers of inputs, then of goldens."""
    columns: list[pd.Series[Any]] = [table["input_path"], table["golden_path"]]
    folders, folder_names = pd.factorize(pd.concat(columns, ignore_index=True))
    objects, object_names = pd.factorize(table["object_name"])
    many = max(1, len(object_names))
    numbers, keys = pd.factorize(folders * many + np.tile(objects, 2))
    root = os.path.join(images_dir, "")
    firsts = np.asarray(folder_names, dtype=object)[keys // many]
    seconds = np.asarray(object_names, dtype=object)[keys % many]
    stems = [os.path.join(root, folder, name) for folder, name in zip(firsts, seconds, strict=True)]
    return stems, numbers.astype(np.int32)


def resolve_images(
    table: pd.DataFrame, images_dir: Path, layout: ImageLayout, listing: Listing | None = None
) -> None:
    """Refuse a table of which an image or golden is no file below `images_dir`, listing five rows.

    `listing` are folders that were just read, if they were.
    """
    listing = listing or Listing(Roots.of(images_dir))
    missing: list[tuple[int, str]] = []
    for start in range(0, len(table), BLOCK_ROWS):
        block = table.iloc[start : start + BLOCK_ROWS]
        images = ImageColumns.of(block, images_dir, layout)
        missing.extend((start + row, path) for row, path in images.without(listing, len(block)))
    if missing:
        raise _unresolved(sorted(missing), len(table))


def _unresolved(missing: list[tuple[int, str]], rows: int) -> InputRefused:
    """Tell images that lie outside, which comes first, from images that are not there."""
    outside = [(row, path) for row, path in missing if os.path.isfile(path)]
    fault, hint = "do not exist", "check images_dir, input_map and image_ext of the spec"
    if outside:
        missing, fault, hint = (
            outside,
            "lie outside images_dir",
            "copy them into it; a link out of it is refused",
        )
    listed = "; ".join(f"row {row + FIRST_DATA_ROW}: {path}" for row, path in missing[:LISTED])
    return InputRefused(
        f"{len(missing)} image(s) of {rows} rows {fault}",
        value=listed + ("; ..." if len(missing) > LISTED else ""),
        hint=hint,
    )
