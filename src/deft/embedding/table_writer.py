"""Write a table of vectors a row group at a time: its bytes depend on the rows alone, not on the pieces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from deft.errors import InputRefused, UsageError

Matrix = npt.NDArray[np.float32]
ROW_GROUP_ROWS = 4096
STORAGES = ("double", "float32", "float16")


class TableWriter:
    """Takes rows and their vectors in pieces of any size and writes row groups of 4,096.

    `subject` names the column that stands first, `vectors` the one that stands second. `storage` is double (a
    list<double> of the float32 values, the form that TAO's tools read) or a fixed-size list of float32 or
    float16. Raises UsageError for another storage, InputRefused for a value that it cannot hold.
    """

    def __init__(
        self, stream: IO[bytes], subject: str, vectors: str, metadata: Mapping[bytes, Any], storage: str
    ) -> None:
        if storage not in STORAGES:
            raise UsageError("storage is not known", value=storage, hint=f"one of {', '.join(STORAGES)}")
        self._stream, self._subject, self._vectors = stream, subject, vectors
        self._metadata, self._storage = dict(metadata), storage
        self._waiting: list[Any] = []
        self._writer: Any = None
        self._names: list[str] = []

    def write(self, columns: Any, matrix: Matrix) -> None:
        """Take an Arrow table with the subject and as many vectors as it has rows."""
        others = [name for name in columns.column_names if name != self._subject]
        self._names = [self._subject, self._vectors, *others]
        if not columns.num_rows:
            return
        subjects = columns.column(self._subject)
        parts = [subjects, vector_column(matrix, self._storage, subjects)]
        parts += [columns.column(name) for name in others]
        self._waiting.append(pa.table(parts, names=self._names).replace_schema_metadata(self._metadata))
        self._flush(at_least=ROW_GROUP_ROWS)

    def _flush(self, at_least: int) -> None:
        if sum(table.num_rows for table in self._waiting) < at_least:
            return
        table = pa.concat_tables(self._waiting)
        whole = table.num_rows - table.num_rows % at_least
        for start in range(0, whole, ROW_GROUP_ROWS):
            group = table.slice(start, min(ROW_GROUP_ROWS, whole - start)).combine_chunks()
            self._open(group.schema).write_table(group, row_group_size=ROW_GROUP_ROWS)
        self._waiting = [table.slice(whole).combine_chunks()] if whole < table.num_rows else []

    def _open(self, schema: Any) -> Any:
        if self._writer is None:
            plain = [name for name in schema.names if name != self._vectors]
            self._writer = pq.ParquetWriter(
                self._stream, schema, use_dictionary=plain, write_page_checksum=True
            )
        return self._writer

    def close(self) -> None:
        """Write what still waits and the end of the file."""
        self._flush(at_least=1)
        if self._writer is None:
            # as TAO writes an empty table: columns without a type
            none = pa.table([pa.nulls(0) for _ in self._names], names=self._names, metadata=self._metadata)
            self._open(none.schema).write_table(none)
        self._writer.close()


def vector_column(matrix: Matrix, storage: str, subjects: Any) -> Any:
    """Return vectors as an Arrow column of lists; a value that the storage cannot hold is refused."""
    if storage == "double":
        return _list_column(matrix)
    with np.errstate(over="ignore"):
        values = matrix.astype(storage, copy=False)
    _require_held(matrix, values, subjects)
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).ravel()), matrix.shape[1])


def _require_held(matrix: Matrix, values: npt.NDArray[Any], subjects: Any) -> None:
    lost = np.isfinite(matrix) & ~np.isfinite(values)
    if lost.any():
        row, column = np.argwhere(lost)[0]
        raise InputRefused(
            f"vector holds {matrix[row, column]:g}, more than the {np.finfo(values.dtype).max:g} of "
            f"{values.dtype}",
            value=subjects[int(row)].as_py(),
            hint="--storage float32",
        )


def _list_column(matrix: Matrix) -> Any:
    rows, width = matrix.shape
    offsets = np.arange(rows + 1, dtype=np.int64) * width
    kind = pa.ListArray if rows * width < 2**31 else pa.LargeListArray
    return kind.from_arrays(
        offsets.astype(np.int32 if kind is pa.ListArray else np.int64), matrix.astype(float).ravel()
    )
