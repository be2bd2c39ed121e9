"""What a search needs to know of a table before it reads any vector, however long the table is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from deft import files
from deft.embedding.sets import EMBEDDING, FILEPATH
from deft.embedding.tables import batches, column_names
from deft.errors import InputRefused
from deft.steps.gate import require_files
from deft.workspace.rows import normalise_label

LABEL = "label"


@dataclass(frozen=True)
class MiningTable:
    """One side of a search: its columns, whether it comes with vectors, and its distinct labels as written.

    `labels` is None where the table has no such column.
    """

    path: Path
    columns: tuple[str, ...]
    labels: tuple[str, ...] | None

    @property
    def is_embedded(self) -> bool:
        """Say whether the table has vectors."""
        return EMBEDDING in self.columns

    @classmethod
    def read(cls, path: Path) -> MiningTable:
        """Look at a Parquet file or a CSV with a column `filepath`; the first and last image must exist."""
        require_files([path])
        if path.suffix.lower() == ".csv":
            return cls._of(path, files.read_csv(path, required=(FILEPATH,)))
        return cls._of_parquet(path, column_names(path, required=(FILEPATH,)))

    @classmethod
    def _of(cls, path: Path, table: pd.DataFrame) -> MiningTable:
        if table.empty:
            raise InputRefused("table has no rows", value=path)
        _require_images(path, [str(table[FILEPATH].iloc[0]), str(table[FILEPATH].iloc[-1])])
        labels = set(_texts(table[LABEL])) if LABEL in table else None
        return cls(path, tuple(table.columns), None if labels is None else tuple(sorted(labels)))

    @classmethod
    def _of_parquet(cls, path: Path, names: tuple[str, ...]) -> MiningTable:
        ends: list[str] = []
        labels: set[str] = set()
        for _, rows in batches(path, [name for name in (FILEPATH, LABEL) if name in names]):
            paths = rows.column(FILEPATH)
            ends = [*ends[:1], str(paths[0].as_py()), str(paths[-1].as_py())]
            if LABEL in names:
                labels |= set(_texts(rows.column(LABEL).unique().to_pandas()))
        if not ends:
            raise InputRefused("table has no rows", value=path)
        _require_images(path, [ends[0], ends[-1]])
        return cls(path, names, tuple(sorted(labels)) if LABEL in names else None)

    def normal_labels(self) -> pd.Series:
        """Return the distinct labels in their one form; a table without them cannot be filtered by label."""
        if self.labels is None:
            raise InputRefused("table has no column label", value=self.path, hint="--filter-by-label none")
        return pd.Series(list(self.labels), dtype=object).map(normalise_label)


def _texts(labels: pd.Series) -> list[str]:
    return [str(label) for label in labels.fillna("")]


def _require_images(path: Path, images: list[str]) -> None:
    for image in images:
        if not Path(image).is_file():
            raise InputRefused(f"image of {path.name} does not exist", value=image)
