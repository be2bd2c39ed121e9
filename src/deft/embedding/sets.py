"""Embedding tables: rows, vectors, and the fingerprint of the encoder that made them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from deft.embedding.standardisation import PoolStatistics
from deft.errors import InputRefused
from deft.files import canonical_json, write_bytes

FILEPATH, EMBEDDING = "filepath", "embedding"
FINGERPRINT_KEY = b"deft.encoder"
WIDTH = "width"
"""The field that a table without rows cannot know; widths are compared on the vectors themselves."""
REFERENCE_KEY = b"deft.pool"
PANDAS_INDEX = re.compile(r"__index_level_\d+__")
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
    matrix: NDArray[np.float32]
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
            _metadata_record(table.schema.metadata or {}, FINGERPRINT_KEY, path),
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
        fingerprint = _metadata_record(metadata, FINGERPRINT_KEY, path)
        record = _metadata_record(metadata, REFERENCE_KEY, path)
        if fingerprint is None or record is None:
            raise InputRefused(
                "table carries no statistics of a pool", value=path, hint="embed the pool with deft_pair"
            )
        return cls(fingerprint, PoolStatistics.from_record(record), tuple(record["calibration"]))

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
    matrix: NDArray[np.float32],
    fingerprint: Mapping[str, object],
    reference: PoolReference | None = None,
    *,
    subject: str = FILEPATH,
) -> Path:
    """Write an Arrow table plus its vectors as `filepath` (the subject), `embedding`, others, atomically.

    The vectors are stored as list<double> of their float32 values, the form that TAO's tools read. The
    schema's metadata carries the encoder's fingerprint and, for a pool, what its targets need.
    """
    metadata = {FINGERPRINT_KEY: canonical_json(dict(fingerprint))}
    if reference is not None:
        metadata[REFERENCE_KEY] = canonical_json(reference.to_record())
    others = columns.drop_columns([subject])
    subjects, vectors = columns.column(subject), _list_column(matrix)
    if not columns.num_rows:
        subjects = vectors = pa.nulls(0)  # as TAO writes an empty table: columns without a type
    table = pa.table(
        [subjects, vectors, *others.columns],
        names=[subject, EMBEDDING, *others.column_names],
        metadata=metadata,
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return write_bytes(path, buffer.getvalue())


def require_same_encoder(first: EmbeddingSet, second: EmbeddingSet) -> None:
    """Refuse two tables whose vectors do not live in one space, naming the first field that differs.

    Two tables without a fingerprint (made by TAO's container) are held to equal widths only.
    """
    one, other = first.fingerprint, second.fingerprint
    if (one is None) != (other is None):
        bare = first.path if one is None else second.path
        raise InputRefused("only one of two embedding tables names its encoder; this does not", value=bare)
    require_same_fingerprint(one or {}, other or {}, second.path)
    widths = first.matrix.shape[1], second.matrix.shape[1]
    if widths[0] != widths[1] and len(first.matrix) and len(second.matrix):
        raise InputRefused(
            f"embedding widths differ: {widths[0]} and {widths[1]}", value=second.path, hint=AGAIN
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


def _metadata_record(metadata: Mapping[bytes, bytes], key: bytes, path: Path) -> dict[str, Any] | None:
    if key not in metadata:
        return None
    try:
        record = json.loads(metadata[key])
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise InputRefused(f"metadata {key.decode()} is not a JSON object", value=path)
    return record


def _list_column(matrix: NDArray[np.float32]) -> Any:
    rows, width = matrix.shape
    offsets = np.arange(rows + 1, dtype=np.int64) * width
    kind = pa.ListArray if rows * width < 2**31 else pa.LargeListArray
    return kind.from_arrays(
        offsets.astype(np.int32 if kind is pa.ListArray else np.int64), matrix.astype(float).ravel()
    )


def vector_matrix(column: Any, name: str, path: Path) -> NDArray[np.float32]:
    """Return an Arrow column of number lists as float32 (rows x width), (0 x 0) without rows.

    Null, ragged and non-finite vectors are refused; `name` and `path` say where they stand.
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
        raise InputRefused(f"vector holds NaN or infinity in row {int(np.argmin(finite)) + 1}", value=path)
    return matrix


def _chunk_matrix(chunk: Any, path: Path) -> NDArray[np.float32]:
    if chunk.null_count:
        raise InputRefused(f"{chunk.null_count} rows have no vector", value=path)
    values = chunk.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    if len(values) % len(chunk) or len(set(np.asarray(pa.compute.list_value_length(chunk)).tolist())) > 1:
        raise InputRefused("vectors differ in length", value=path)
    matrix: NDArray[np.float32] = values.reshape(len(chunk), -1)
    return matrix
