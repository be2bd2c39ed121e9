from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deft.embedding.sets import (
    FINGERPRINT_KEY,
    REFERENCE_KEY,
    EmbeddingSet,
    PoolReference,
    read_arrow,
    require_same_encoder,
    write_embeddings,
)
from deft.embedding.standardisation import PoolStatistics
from deft.errors import InputRefused

FINGERPRINT = {"model": "SigLIP", "identity": "a" * 64, "width": 3}
MATRIX = np.array([[0.1, 0.2, 0.3], [1, 2, 3]], dtype=np.float32)


def columns(rows: int = 2) -> pa.Table:
    paths = [f"{row}.png" for row in range(rows)]
    return pa.table(
        {"label": [None, "short"][:rows], "filepath": paths, "n": pa.array(range(rows), pa.int32())}
    )


def written(
    path: Path, fingerprint: dict[str, object] = FINGERPRINT, matrix: np.ndarray = MATRIX
) -> EmbeddingSet:
    return EmbeddingSet.read(write_embeddings(path, columns(len(matrix)), matrix, fingerprint))


def foreign(path: Path, vectors: object, kind: pa.DataType | None = None) -> Path:
    pq.write_table(pa.table({"filepath": ["a.png", "b.png"], "embedding": pa.array(vectors, kind)}), path)
    return path


def test_a_table_comes_back_with_its_rows_vectors_and_encoder(tmp_path: Path) -> None:
    found = written(tmp_path / "e.parquet")
    assert found.filepaths == ["0.png", "1.png"]
    assert found.fingerprint == FINGERPRINT
    np.testing.assert_array_equal(found.matrix, MATRIX)
    assert found.matrix.dtype == np.float32


def test_the_file_is_filepath_embedding_and_the_others_in_order_with_their_types(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "e.parquet", columns(), MATRIX, FINGERPRINT)
    table = pq.read_table(tmp_path / "e.parquet")
    assert {name: str(table.schema.field(name).type) for name in table.column_names} == {
        "filepath": "string",
        "embedding": "list<element: double>",
        "label": "string",
        "n": "int32",
    }
    assert list(table.column_names) == ["filepath", "embedding", "label", "n"]
    assert table["label"].to_pylist() == [None, "short"]


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 2), pa.large_list(pa.float64())]
)
def test_every_form_of_a_list_column_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    found = EmbeddingSet.read(foreign(tmp_path / "e.parquet", [[1.0, 2.0], [3.0, 4.0]], kind))
    np.testing.assert_array_equal(found.matrix, [[1, 2], [3, 4]])
    assert found.fingerprint is None


def test_an_empty_table_as_tao_writes_it_is_read(tmp_path: Path) -> None:
    found = written(tmp_path / "e.parquet", matrix=np.empty((0, 0), np.float32))
    assert found.filepaths == []
    assert pq.read_schema(tmp_path / "e.parquet").field("embedding").type == pa.null()


@pytest.mark.parametrize(
    ("vectors", "reason"),
    [
        ([[1.0, 2.0], [3.0]], "differ in length"),
        ([[1.0, 2.0], [3.0, 4.0, 5.0, 6.0]], "differ in length"),
        ([[1.0, 2.0], None], "1 rows have no vector"),
        ([[1.0, 2.0], [float("nan"), 4.0]], "NaN or infinity in row 2"),
        (["text", "text"], "not a list of numbers"),
    ],
)
def test_vectors_that_cannot_be_compared_are_refused(tmp_path: Path, vectors: object, reason: str) -> None:
    with pytest.raises(InputRefused, match=reason):
        EmbeddingSet.read(foreign(tmp_path / "e.parquet", vectors))


def test_a_missing_a_truncated_and_a_bare_table_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="does not exist"):
        EmbeddingSet.read(tmp_path / "absent.parquet")
    path = tmp_path / "e.parquet"
    written(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputRefused, match="not a readable Parquet table"):
        EmbeddingSet.read(path)
    pq.write_table(pa.table({"path": ["a.png"]}), path)
    with pytest.raises(InputRefused, match="lacks filepath, embedding"):
        EmbeddingSet.read(path)


def test_an_index_that_pandas_stored_is_no_column_of_the_table(tmp_path: Path) -> None:
    frame = columns().to_pandas().iloc[[1, 0]]
    frame.to_parquet(tmp_path / "filtered.parquet")
    assert read_arrow(tmp_path / "filtered.parquet", required=()).column_names == ["label", "filepath", "n"]


def test_tables_of_one_encoder_may_be_compared(tmp_path: Path) -> None:
    require_same_encoder(written(tmp_path / "a.parquet"), written(tmp_path / "b.parquet"))


@pytest.mark.parametrize("field", ["model", "identity", "statistics"])
def test_tables_of_two_encoders_are_refused_by_the_field_that_differs(tmp_path: Path, field: str) -> None:
    other = written(tmp_path / "b.parquet", {**FINGERPRINT, field: "other"})
    with pytest.raises(InputRefused, match=f"{field} is .* and other"):
        require_same_encoder(written(tmp_path / "a.parquet"), other)


def test_a_table_without_rows_goes_with_any_width(tmp_path: Path) -> None:
    empty = written(tmp_path / "a.parquet", {**FINGERPRINT, "width": 0}, np.empty((0, 0), np.float32))
    require_same_encoder(empty, written(tmp_path / "b.parquet"))


def test_tables_without_a_fingerprint_go_together_but_not_with_one_that_has_it(tmp_path: Path) -> None:
    bare = [
        EmbeddingSet.read(foreign(tmp_path / name, [[1.0, 2.0, 0.0], [3.0, 4.0, 0.0]])) for name in ("a", "b")
    ]
    require_same_encoder(*bare)
    with pytest.raises(InputRefused, match="only one of two"):
        require_same_encoder(bare[0], written(tmp_path / "c"))
    narrow = EmbeddingSet.read(foreign(tmp_path / "d", [[1.0, 2.0], [3.0, 4.0]]))
    with pytest.raises(InputRefused, match="widths differ: 3 and 2"):
        require_same_encoder(bare[0], narrow)


def test_a_pool_lends_its_statistics_to_the_last_bit(tmp_path: Path) -> None:
    statistics = PoolStatistics.over([[np.random.default_rng(0).random((7, 3), dtype=np.float32)]])
    reference = PoolReference(dict(FINGERPRINT), statistics, ("a.png",))
    write_embeddings(tmp_path / "pool.parquet", columns(), MATRIX, FINGERPRINT, reference)
    found = PoolReference.read(tmp_path / "pool.parquet")
    assert found.statistics.digest() == statistics.digest()
    np.testing.assert_array_equal(found.statistics.means[0], statistics.means[0])
    assert (found.fingerprint, found.calibration) == (FINGERPRINT, ("a.png",))


@pytest.mark.parametrize(
    "record", ["{}", '{"means": 1}', '{"means": [["x"]], "deviations": []}', "[" * 100_000]
)
def test_a_pool_whose_statistics_are_damaged_lends_nothing(tmp_path: Path, record: str) -> None:
    metadata = {FINGERPRINT_KEY: b"{}", REFERENCE_KEY: record.encode()}
    pq.write_table(pa.schema([]).with_metadata(metadata).empty_table(), tmp_path / "pool.parquet")
    with pytest.raises(InputRefused, match=r"pool\.parquet"):
        PoolReference.read(tmp_path / "pool.parquet")


def test_a_table_that_is_no_pool_lends_nothing(tmp_path: Path) -> None:
    written(tmp_path / "e.parquet")
    with pytest.raises(InputRefused, match="no statistics of a pool"):
        PoolReference.read(tmp_path / "e.parquet")
    with pytest.raises(InputRefused, match="does not exist"):
        PoolReference.read(tmp_path / "absent.parquet")
