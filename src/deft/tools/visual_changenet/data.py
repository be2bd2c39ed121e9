"""The tables of a classify spec and their images, decoded once and kept as 8-bit pixels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from deft import files
from deft.errors import InputRefused, UsageError
from deft.workspace.image_columns import resolve_images
from deft.workspace.images import read_pixels
from deft.workspace.rows import REQUIRED, ImageLayout, is_pass, read_table
from deft.workspace.safe_path import Roots

Pixels = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.intp]
MEMORY_SHARE = 0.6


@dataclass(frozen=True)
class Images:
    """Distinct images, and for each row and light which of them is its golden and which its test image."""

    pixels: Pixels
    golden: Indices
    test: Indices

    def pairs(self, rows: Indices | slice) -> tuple[Pixels, Pixels]:
        """Return golden and test pixels of some rows: (n, lights, height, width, 3) each."""
        return self.pixels[self.golden[rows]], self.pixels[self.test[rows]]


@dataclass(frozen=True)
class Split:
    """A labelled split in memory."""

    images: Images
    is_defect: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.is_defect)


@dataclass(frozen=True)
class SplitSource:
    """Where a split of the spec lies, and how its images are named and sized."""

    name: str
    table: Path
    images: Path
    layout: ImageLayout
    width: int
    height: int

    @classmethod
    def from_config(cls, config: DictConfig, name: str) -> SplitSource:
        """Read `dataset.classify.<name>_dataset`; an empty path is refused by its key."""
        classify = config.dataset.classify
        block = classify[f"{name}_dataset"]
        if not block.csv_path:
            raise UsageError(f"dataset.classify.{name}_dataset.csv_path is not set")
        spec = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
        assert isinstance(spec, dict)
        layout = ImageLayout.from_spec({str(key): value for key, value in spec.items()})
        root = Path(block.images_dir or ".")
        return cls(name, Path(block.csv_path), root, layout, classify.image_width, classify.image_height)

    def load(self, batch_size: int) -> Split:
        """Read a labelled split whole: table, labels, pixels."""
        table = self.read_labelled(batch_size)
        return Split(self.read_images(table), ~is_pass(table["label"]))

    def read_labelled(self, batch_size: int) -> pd.DataFrame:
        """Read a table whose labels count: normalised, every image resolved."""
        table = read_table(self.table, images=self.layout)
        require_batch(len(table), batch_size, self.table)
        resolve_images(table, self.images, self.layout)
        return table

    def read_unlabelled(self, batch_size: int) -> pd.DataFrame:
        """Read a table as it is written, every cell as text; labels are not looked at."""
        table = files.read_csv(self.table, required=REQUIRED)
        require_batch(len(table), batch_size, self.table)
        resolve_images(table, self.images, self.layout)
        return table

    def blocks(self, table: pd.DataFrame, rows: int) -> Iterator[Images]:
        """Decode a table's images some rows at a time, so that memory does not grow with the table."""
        for start in range(0, len(table), rows):
            yield self.read_images(table.iloc[start : start + rows])

    def read_images(self, table: pd.DataFrame) -> Images:
        """Decode every distinct image of a table once."""
        known: dict[str, int] = {}
        columns = {
            side: self.layout.column_paths(table, self.images, side) for side in ("golden_path", "input_path")
        }
        indices = {
            side: np.array(
                [[known.setdefault(path, len(known)) for path in paths] for paths in lights], np.intp
            ).T
            for side, lights in columns.items()
        }
        self._require_memory(len(known))
        pixels = read_pixels(list(known), width=self.width, height=self.height, within=Roots.of(self.images))
        return Images(pixels, indices["golden_path"], indices["input_path"])

    def _require_memory(self, images: int) -> None:
        needed = images * self.width * self.height * 3
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE
        if needed > available:
            raise InputRefused(
                f"{images} images of {self.width}x{self.height} need {needed / 2**30:.1f} GiB of memory, "
                f"{available / 2**30:.1f} GiB may be used",
                value=self.table,
                hint="lower dataset.classify.image_width and image_height, or split the table",
            )


def require_batch(rows: int, batch_size: int, table: Path) -> None:
    """Refuse a split that does not fill one batch, in the containers' words."""
    if batch_size < 1:
        raise UsageError("dataset.classify.batch_size must be positive", value=batch_size)
    if rows < batch_size:
        raise InputRefused(
            f"Dataset size ({rows}) is smaller than the total batch size ({batch_size})",
            value=table,
            hint=f"dataset.classify.batch_size={max(rows, 1)}",
        )
