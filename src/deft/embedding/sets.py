"""Embedding tables: rows, vectors, and the fingerprint of the encoder that made them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from deft.embedding.standardisation import PoolStatistics
from deft.embedding.table_writer import TableWriter
from deft.errors import InputRefused
from deft.files import canonical_json
from deft.streams import replacing

FILEPATH, EMBEDDING = "filepath", "embedding"
FINGERPRINT_KEY = b"deft.encoder"
WIDTH = "width"
"""The field that a table without rows cannot know; widths are compared on the vectors themselves."""
REFERENCE_KEY = b"deft.pool"
PANDAS_INDEX = re.compile(r"__index_level_\d+__")
Matrix = NDArray[np.float32]
AGAIN = (
    "embed both sides again with one model and one model_path (deft_pair: targets with statistics_parquet)"
)


@dataclass(frozen=True)
class EmbeddingSet:
    """One embedding table.

    `table` holds every column but `embedding`, in the order of the file; row i of `matrix` (float32, rows x
    width) is its vector. `fingerprint` is None in a table that another program wrote.
    """

    path: Path
    table: pd.DataFrame
    matrix: Matrix
    fingerprint: dict[str, Any] | None

    @property
    def filepaths(self) -> list[str]:
        """Return the image path of each row."""
        return [str(path) for path in self.table[FILEPATH]]

    @classmethod
    def read(cls, path: Path) -> EmbeddingSet:
        """Read an embedding table; absent columns, null, ragged or non-finite vectors are refused by name."""
        table = read_arrow(path, required=(FILEPATH, EMBEDDING))
        return cls(
            path,
            table.drop_columns([EMBEDDING]).to_pandas(ignore_metadata=True),
            vector_matrix(table.column(EMBEDDING), EMBEDDING, path),
            metadata_record(table.schema.metadata or {}, FINGERPRINT_KEY, path),
        )


@dataclass(frozen=True)
class PoolReference:
    """What a pool's embedding table lends to its targets: statistics and the images of the calibration."""

    fingerprint: dict[str, Any]
    statistics: PoolStatistics
    calibration: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> PoolReference:
        """Read what `write_embeddings` left in a pool's table; a table without it is refused."""
        if not path.is_file():
            raise InputRefused("file does not exist", value=path, hint="embed the pool first")
        try:
            metadata = pq.read_schema(path).metadata or {}
        except (pa.ArrowException, OSError) as error:
            raise InputRefused(f"file is not a Parquet table ({str(error)[:200]})", value=path) from None
        fingerprint = metadata_record(metadata, FINGERPRINT_KEY, path)
        record = metadata_record(metadata, REFERENCE_KEY, path)
        if fingerprint is None or record is None:
            raise InputRefused(
                "table carries no statistics of a pool", value=path, hint="embed the pool with deft_pair"
            )
        try:
            return cls(fingerprint, PoolStatistics.from_record(record), tuple(record["calibration"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise InputRefused(
                "statistics of a pool are damaged", value=path, hint="embed the pool again"
            ) from None

    def to_record(self) -> dict[str, object]:
        """Return what the table's metadata holds beside the fingerprint."""
        return {**self.statistics.to_record(), "calibration": list(self.calibration)}


def read_arrow(path: Path, *, required: tuple[str, ...]) -> Any:
    """Read a Parquet file as an Arrow table, so that types survive, without an index that pandas stored.

    Raises InputRefused for a missing or damaged file and for absent columns.
    """
    if not path.is_file():
        raise InputRefused("file does not exist", value=path)
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise InputRefused(f"file is not a readable Parquet table ({str(error)[:200]})", value=path) from None
    absent = [name for name in required if name not in table.column_names]
    if absent:
        found = ", ".join(table.column_names)
        raise InputRefused(f"table lacks {', '.join(absent)} (it has {found})", value=path)
    return table.drop_columns([name for name in table.column_names if PANDAS_INDEX.fullmatch(name)])


def write_embeddings(
    path: Path,
    columns: Any,
    matrix: Matrix,
    fingerprint: Mapping[str, object],
    reference: PoolReference | None = None,
    *,
    subject: str = FILEPATH,
) -> Path:
    """Write an Arrow table plus its vectors as `filepath` (the subject), `embedding`, others, atomically.

    The vectors are stored as list<double> of their float32 values, the form that TAO's tools read. The
    schema's metadata carries the encoder's fingerprint and, for a pool, what its targets need.
    """
    with embedding_writer(path, fingerprint, reference, subject=subject) as writer:
        writer.write(columns, matrix)
    return path


@contextmanager
def embedding_writer(
    path: Path,
    fingerprint: Mapping[str, object],
    reference: PoolReference | None = None,
    *,
    subject: str = FILEPATH,
    storage: str = "double",
) -> Iterator[TableWriter]:
    """Open a writer that takes an embedding table in pieces; at `path` there is all of it or nothing."""
    metadata = {FINGERPRINT_KEY: canonical_json(dict(fingerprint))}
    if reference is not None:
        metadata[REFERENCE_KEY] = canonical_json(reference.to_record())
    with replacing(path) as stream:
        writer = TableWriter(stream, subject, EMBEDDING, metadata, storage)
        yield writer
        writer.close()


Side = tuple[Path, dict[str, Any] | None, tuple[int, ...]]
"""A table as the check of encoders sees it: where it is, its fingerprint, rows and width."""


def require_same_encoder(first: EmbeddingSet, second: EmbeddingSet) -> None:
    """Refuse two tables whose vectors do not live in one space, naming the first field that differs."""
    require_same_encoders(*((each.path, each.fingerprint, each.matrix.shape) for each in (first, second)))


def require_same_encoders(first: Side, second: Side) -> None:
    """Refuse two tables whose vectors do not live in one space, naming the first field that differs.

    Two tables without a fingerprint (made by TAO's container) are held to equal widths only.
    """
    (path, one, (rows, width)), (other_path, other, (other_rows, other_width)) = first, second
    if (one is None) != (other is None):
        bare = path if one is None else other_path
        raise InputRefused("only one of two embedding tables names its encoder; this does not", value=bare)
    require_same_fingerprint(one or {}, other or {}, other_path)
    if width != other_width and rows and other_rows:
        raise InputRefused(
            f"embedding widths differ: {width} and {other_width}", value=other_path, hint=AGAIN
        )


def require_same_fingerprint(one: Mapping[str, object], other: Mapping[str, object], origin: Path) -> None:
    """Refuse two fingerprints that differ, naming the first field that does."""
    for field in sorted({*one, *other} - {WIDTH}):
        if one.get(field) != other.get(field):
            raise InputRefused(
                f"embeddings of different encoders: {field} is {one.get(field)} and {other.get(field)}",
                value=origin,
                hint=AGAIN,
            )


def metadata_record(metadata: Mapping[bytes, bytes], key: bytes, path: Path) -> dict[str, Any] | None:
    """Return a record that a table's metadata holds, None where it has no such key."""
    if key not in metadata:
        return None
    try:
        record = json.loads(metadata[key])
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise InputRefused(f"metadata {key.decode()} is not a JSON object", value=path)
    return record


def vector_matrix(column: Any, name: str, path: Path, start: int = 0) -> Matrix:
    """Return an Arrow column of number lists as float32 (rows x width), (0 x 0) without rows.

    Null, ragged and non-finite vectors are refused; `name` and `path` say where they stand, and the column's
    first row is row `start` of the table.
    """
    if not len(column):
        return np.empty((0, 0), dtype=np.float32)
    inner = getattr(column.type, "value_type", None)
    if not (pa.types.is_nested(column.type) and (pa.types.is_floating(inner) or pa.types.is_integer(inner))):
        raise InputRefused(f"column {name} is {column.type}, not a list of numbers", value=path)
    rows = []
    for chunk in column.chunks:
        rows.append(_chunk_matrix(chunk, path))
    if len({block.shape[1] for block in rows}) > 1:
        raise InputRefused("vectors differ in length", value=path)
    matrix = np.concatenate(rows)
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        raise InputRefused(
            f"vector holds NaN or infinity in row {start + int(np.argmin(finite)) + 1}", value=path
        )
    return matrix


def _chunk_matrix(chunk: Any, path: Path) -> Matrix:
    if chunk.null_count:
        raise InputRefused(f"{chunk.null_count} rows have no vector", value=path)
    values = chunk.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    if len(values) % len(chunk) or len(set(np.asarray(pa.compute.list_value_length(chunk)).tolist())) > 1:
        raise InputRefused("vectors differ in length", value=path)
    matrix: Matrix = values.reshape(len(chunk), -1)
    return matrix
