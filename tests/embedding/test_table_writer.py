from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deft.embedding.table_writer import ROW_GROUP_ROWS, TableWriter
from deft.errors import InputRefused, UsageError

ROWS = ROW_GROUP_ROWS + 300


def written(pieces: list[int], storage: str = "float32") -> bytes:
    stream = io.BytesIO()
    writer = TableWriter(stream, "filepath", "embedding", {b"key": b"value"}, storage)
    whole = pa.table({"label": [f"l{n % 3}" for n in range(ROWS)], "filepath": [str(n) for n in range(ROWS)]})
    vectors = np.random.default_rng(0).normal(size=(ROWS, 3)).astype(np.float32)
    for start, stop in zip([0, *pieces], [*pieces, ROWS], strict=True):
        writer.write(whole.slice(start, stop - start), vectors[start:stop])
    writer.close()
    return stream.getvalue()


@pytest.mark.parametrize("storage", ["double", "float32", "float16"])
def test_the_bytes_do_not_depend_on_the_pieces(storage: str) -> None:
    whole = written([], storage)
    assert written([1, 2, 700, 700, ROW_GROUP_ROWS, ROWS - 1], storage) == whole
    file = pq.ParquetFile(io.BytesIO(whole))
    assert [file.metadata.row_group(n).num_rows for n in range(2)] == [ROW_GROUP_ROWS, 300]
    assert file.schema_arrow.names == ["filepath", "embedding", "label"]


def test_the_container_reads_lists_of_doubles() -> None:
    table = pq.read_table(io.BytesIO(written([], "double")))
    assert table.schema.field("embedding").type == pa.list_(pa.float64())
    assert table.schema.metadata[b"key"] == b"value"


def test_a_table_without_rows_has_its_columns_and_metadata() -> None:
    stream = io.BytesIO()
    writer = TableWriter(stream, "filepath", "embedding", {b"key": b"value"}, "double")
    writer.write(pa.table({"filepath": pa.array([], pa.string()), "n": []}), np.empty((0, 0), np.float32))
    writer.close()
    table = pq.read_table(stream)
    assert (table.column_names, table.num_rows) == (["filepath", "embedding", "n"], 0)
    assert table.schema.metadata[b"key"] == b"value"


@pytest.mark.parametrize("value", [65_520.0, -70_000.0])
def test_a_value_beyond_float16_is_refused_by_the_name_of_its_row(value: float) -> None:
    writer = TableWriter(io.BytesIO(), "filepath", "embedding", {}, "float16")
    vectors = np.array([[1, 65_504], [value, 1]], np.float32)
    with pytest.raises(InputRefused, match=f"vector holds {value:g}, more than the 65504 of float16: b.png"):
        writer.write(pa.table({"filepath": ["a.png", "b.png"]}), vectors)
    writer.write(pa.table({"filepath": ["a.png"]}), vectors[:1])


def test_an_unknown_storage_is_refused() -> None:
    with pytest.raises(UsageError, match="storage is not known: int4"):
        TableWriter(io.BytesIO(), "filepath", "embedding", {}, "int4")
