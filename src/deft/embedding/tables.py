"""Embedding tables in blocks: read and written a row group at a time, however many rows they have.

A table of TAO's own (list<double>, one row group) is read as well as ours; only small row groups keep memory
independent of the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from deft.embedding.sets import (
    EMBEDDING,
    FILEPATH,
    FINGERPRINT_KEY,
    PANDAS_INDEX,
    EmbeddingSet,
    Matrix,
    metadata_record,
    require_same_encoders,
    vector_matrix,
)
from deft.errors import InputRefused

LABEL = "label"
BLOCK_ROWS = 8192
READ_BUFFER_BYTES = 2**20


@dataclass(frozen=True)
class TableBlock:
    """Consecutive rows: the number of the first, every column but the vectors, and the vectors."""

    start: int
    table: pd.DataFrame
    matrix: Matrix


@dataclass(frozen=True)
class EmbeddingTable:
    """An embedding table on disk whose vectors are read when they are asked for.

    `fingerprint` is None in a table that another program wrote. With `label_form` the column `label` is given
    in that form.
    """

    path: Path
    rows: int
    columns: tuple[str, ...]
    fingerprint: dict[str, Any] | None
    column: str = EMBEDDING
    label_form: Callable[[str], str] | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        column: str = EMBEDDING,
        required: Sequence[str] = (FILEPATH,),
        label_form: Callable[[str], str] | None = None,
    ) -> EmbeddingTable:
        """Look at a table without reading its rows; a damaged file or absent columns are refused."""
        with _opened(path) as file:
            names = [name for name in file.schema_arrow.names if not PANDAS_INDEX.fullmatch(name)]
            absent = [name for name in (*required, column) if name not in names]
            if absent:
                raise InputRefused(f"table lacks {', '.join(absent)} (it has {', '.join(names)})", value=path)
            fingerprint = metadata_record(file.schema_arrow.metadata or {}, FINGERPRINT_KEY, path)
            others = tuple(name for name in names if name != column)
            return cls(path, file.metadata.num_rows, others, fingerprint, column, label_form)

    @cached_property
    def width(self) -> int:
        """Return the length of the vectors, 0 in a table without rows."""
        for block in self.blocks((), stop=1):
            return int(block.matrix.shape[1])
        return 0

    def blocks(
        self, columns: Sequence[str], *, start: int = 0, stop: int | None = None
    ) -> Iterator[TableBlock]:
        """Yield the rows from `start` to `stop` in blocks of at most 8,192, with the columns that exist.

        Null, ragged and non-finite vectors are refused.
        """
        wanted = [name for name in columns if name in self.columns]
        for first, batch in batches(self.path, [*wanted, self.column], start, stop):
            vectors = vector_matrix(batch.column(self.column), self.column, self.path, first)
            yield TableBlock(first, self._frame(batch.select(wanted)), vectors)

    def vectors_at(self, rows: npt.NDArray[np.int64]) -> Matrix:
        """Return the vectors of some rows, in the order asked for."""
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        found: Matrix = np.empty((len(rows), self.width), dtype=np.float32)
        for block in self.blocks(()):
            first, last = np.searchsorted(ordered, (block.start, block.start + len(block.matrix)))
            found[order[first:last]] = block.matrix[ordered[first:last] - block.start]
        return found

    def values(self, column: str) -> list[str]:
        """Return one column as text."""
        found = [batch for _, batch in batches(self.path, [column])]
        return texts_of(pa.concat_tables(found).column(column)) if found else []

    def rows_of(self, paths: Collection[str]) -> pd.DataFrame:
        """Return every column but the vectors of the rows with one of these paths, in the table's order."""
        wanted = pa.array(sorted(paths), pa.string())
        found = []
        for _, batch in batches(self.path, list(self.columns)):
            texts = batch.column(FILEPATH).cast(pa.string())
            found.append(batch.filter(pa.compute.is_in(texts, value_set=wanted)))
        if not found:
            return pd.DataFrame(columns=list(self.columns))
        return self._frame(pa.concat_tables(found))

    def _frame(self, columns: Any) -> pd.DataFrame:
        table: pd.DataFrame = columns.to_pandas(ignore_metadata=True)
        if self.label_form is None or LABEL not in table:
            return table
        return table.assign(label=table[LABEL].fillna("").astype(str).map(self.label_form))


def texts_of(column: Any) -> list[str]:
    """Return an Arrow column as text, numbers as pandas writes them: whole ones with gaps become 1.0, nan."""
    is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    return [str(value) for value in (column.to_pandas() if is_number else column.to_pylist())]


def column_names(path: Path, *, required: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the columns of a Parquet file, without an index that pandas stored; absent ones are refused."""
    with _opened(path) as file:
        names = tuple(name for name in file.schema_arrow.names if not PANDAS_INDEX.fullmatch(name))
    absent = [name for name in required if name not in names]
    if absent:
        raise InputRefused(f"table lacks {', '.join(absent)} (it has {', '.join(names)})", value=path)
    return names


def table_rows(path: Path) -> int:
    """Return how many rows a Parquet file has."""
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def batches(
    path: Path, names: Sequence[str], start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, Any]]:
    """Yield the rows from `start` to `stop` of some columns as Arrow tables, each with its first row."""
    with _opened(path) as file:
        stop = file.metadata.num_rows if stop is None else min(stop, file.metadata.num_rows)
        first, groups = _groups_from(file, start)
        for batch in _damage_named(file.iter_batches(BLOCK_ROWS, groups, list(names)), path):
            begin, end = max(start - first, 0), min(stop - first, batch.num_rows)
            if begin < end:
                yield first + begin, pa.Table.from_batches([batch.slice(begin, end - begin)])
            first += batch.num_rows
            if first >= stop:
                return


def rows_without_vectors(path: Path, start: int, stop: int) -> Any:
    """Return some rows of a table with or without vectors as an Arrow table without them."""
    with _opened(path) as file:
        names = [name for name in file.schema_arrow.names if name != EMBEDDING]
        schema = pa.schema([file.schema_arrow.field(name) for name in names])
    return pa.concat_tables([schema.empty_table(), *(rows for _, rows in batches(path, names, start, stop))])


def require_same_space(targets: EmbeddingSet, pool: EmbeddingTable) -> None:
    """Refuse a pool whose vectors do not live in the space of the targets', naming the first difference."""
    require_same_encoders(
        (targets.path, targets.fingerprint, targets.matrix.shape),
        (pool.path, pool.fingerprint, (pool.rows, pool.width)),
    )


def _opened(path: Path) -> AbstractContextManager[Any]:
    if not path.is_file():
        raise InputRefused("file does not exist", value=path)
    try:
        file: AbstractContextManager[Any] = pq.ParquetFile(
            path, pre_buffer=False, buffer_size=READ_BUFFER_BYTES, page_checksum_verification=True
        )
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None
    return file


def _groups_from(file: Any, start: int) -> tuple[int, list[int]]:
    """Return the row groups from the one that holds row `start` on, and the first row of that."""
    first, count = 0, file.num_row_groups
    for group in range(count):
        rows = file.metadata.row_group(group).num_rows
        if first + rows > start:
            return first, list(range(group, count))
        first += rows
    return first, []


def _damage_named(batches: Iterator[Any], path: Path) -> Iterator[Any]:
    while True:
        try:
            yield next(batches)
        except StopIteration:
            return
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputRefused:
    return InputRefused(f"file is not a readable Parquet table ({str(error)[:200]})", value=path)
