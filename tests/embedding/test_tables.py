"""A table on disk says block by block what it says at once, and its length costs no memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deft import files
from deft.embedding import tables
from deft.embedding.sets import EmbeddingSet, require_same_encoder
from deft.embedding.tables import (
    EmbeddingTable,
    batches,
    column_names,
    require_same_space,
    rows_without_vectors,
    table_rows,
)
from deft.errors import InputRefused
from shard_fixtures import SOURCE, draw_vectors

ROWS = 10_000


@pytest.fixture(params=["double", "float32", "float16"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return draw_vectors(tmp_path / "e.parquet", ROWS, seed=0, width=3, storage=request.param)


@pytest.mark.parametrize(("start", "stop"), [(0, None), (0, 1), (4095, 4097), (9_999, 20_000), (50, 50)])
def test_blocks_are_the_rows_of_the_table(path: Path, start: int, stop: int | None) -> None:
    whole, table = EmbeddingSet.read(path), EmbeddingTable.open(path)
    found = list(table.blocks(("filepath", "absent", "label"), start=start, stop=stop))
    assert table.rows == ROWS
    expected = slice(start, stop)
    if not found:
        assert len(whole.matrix[expected]) == 0
        return
    assert found[0].start == start
    np.testing.assert_array_equal(np.concatenate([block.matrix for block in found]), whole.matrix[expected])
    read = pd.concat([block.table for block in found], ignore_index=True)
    pd.testing.assert_frame_equal(
        read, whole.table[["filepath", "label"]].iloc[expected].reset_index(drop=True)
    )


def test_a_table_as_tao_writes_it_is_read_in_blocks_too(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    frame = pd.DataFrame({"filepath": [str(n) for n in range(300)], "embedding": list(vectors.astype(float))})
    frame.to_parquet(tmp_path / "t.parquet")
    table = EmbeddingTable.open(tmp_path / "t.parquet")
    assert table.fingerprint is None
    assert table.columns == ("filepath",)
    np.testing.assert_array_equal(next(table.blocks(())).matrix, vectors)


def test_vectors_of_some_rows_come_in_the_order_asked_for(path: Path) -> None:
    rows = np.random.default_rng(1).permutation(ROWS)[:77]
    np.testing.assert_array_equal(
        EmbeddingTable.open(path).vectors_at(rows), EmbeddingSet.read(path).matrix[rows]
    )


def test_rows_are_found_by_their_paths(path: Path) -> None:
    whole = EmbeddingSet.read(path).table
    wanted = whole["filepath"].iloc[[5, 9_000]]
    found = EmbeddingTable.open(path).rows_of(set(wanted))
    assert found.values.tolist() == whole.iloc[[5, 9_000]].values.tolist()
    assert EmbeddingTable.open(path).rows_of(()).empty
    assert EmbeddingTable.open(path).values("label") == whole["label"].tolist()


def test_labels_come_in_the_form_that_was_asked_for(path: Path) -> None:
    table = EmbeddingTable.open(path, label_form=str.upper)
    assert set(next(table.blocks(("label",))).table["label"]) == {"PASS", "BRIDGE", "SHIFT"}


def test_a_row_that_is_not_finite_is_named_by_its_number_in_the_table(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tables, "BLOCK_ROWS", 4)
    vectors = [[1.0, 2.0]] * 9 + [[1.0, np.nan]]
    pq.write_table(pa.table({"filepath": list("abcdefghij"), "embedding": vectors}), tmp_path / "e.parquet")
    with pytest.raises(InputRefused, match="NaN or infinity in row 10"):
        list(EmbeddingTable.open(tmp_path / "e.parquet").blocks(()))


def test_a_flipped_bit_in_our_own_table_is_found(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))
    with pytest.raises(InputRefused, match="not a readable Parquet table"):
        list(EmbeddingTable.open(path).blocks(("filepath",)))


def test_absent_columns_and_files_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="table lacks vector"):
        EmbeddingTable.open(path, column="vector")
    with pytest.raises(InputRefused, match="does not exist"):
        EmbeddingTable.open(tmp_path / "absent.parquet")
    bad = files.write_text(tmp_path / "bad.parquet", "no table")
    with pytest.raises(InputRefused, match="not a readable"):
        EmbeddingTable.open(bad)


def test_rows_are_read_without_their_vectors(path: Path) -> None:
    found = rows_without_vectors(path, 4_000, 4_200)
    assert found.column_names == ["filepath", "label", "provenance"]
    assert column_names(path) == ("filepath", "embedding", "label", "provenance")
    assert found.num_rows == 200
    assert rows_without_vectors(path, 0, 0).column_names == found.column_names
    assert table_rows(path) == ROWS
    assert sum(batch.num_rows for _, batch in batches(path, ["label"], 10, 30)) == 20


def test_a_set_and_a_table_are_held_to_one_space_as_two_sets_are(tmp_path: Path) -> None:
    one = draw_vectors(tmp_path / "a.parquet", 5, seed=0, width=3)
    other = draw_vectors(tmp_path / "b.parquet", 5, seed=0, width=4)
    targets = EmbeddingSet.read(one)
    require_same_space(targets, EmbeddingTable.open(one))
    with pytest.raises(InputRefused, match="widths differ: 3 and 4"):
        require_same_encoder(targets, EmbeddingSet.read(other))
    with pytest.raises(InputRefused, match="widths differ: 3 and 4"):
        require_same_space(targets, EmbeddingTable.open(other))


SEARCH = """
import sys
from pathlib import Path
from deft.embedding.candidates import Embedded, Rule
from deft.embedding.selection import select
from deft.embedding.sets import EmbeddingSet
from deft.embedding.tables import EmbeddingTable
targets = EmbeddingSet.read(Path(sys.argv[1]))
rule = Rule(top_k=5, label_filter="class", min_similarity=0.2, synthetic_share=0.3)
select(Embedded(targets.table, targets.matrix), EmbeddingTable.open(Path(sys.argv[2])), rule, already=set())
# ru_maxrss would be that of the process which started this one
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.fixture(scope="module")
def peak(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, str], int]:
    """Return a function that measures the peak resident memory (KiB) of a search in a child."""
    place = tmp_path_factory.mktemp("peak")
    targets = draw_vectors(place / "targets.parquet", 200, seed=0, width=64)

    def measure(rows: int, storage: str) -> int:
        pool = draw_vectors(place / f"{rows}.parquet", rows, seed=1, width=64, storage=storage)
        command = [sys.executable, "-c", SEARCH, str(targets), str(pool)]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return int(said.stdout)

    return measure


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["float16", "double"])
def test_the_memory_of_a_search_does_not_grow_with_the_pool(
    peak: Callable[[int, str], int], storage: str, figure: Callable[[str, str, str], None]
) -> None:
    few, many = peak(20_000, storage), peak(200_000, storage)
    what = f"peak memory of a search in {storage} Parquet, 200,000 rows against 20,000"
    figure(what, "at most 1.20", f"{many / few:.2f} ({many // 1024} MiB)")
    assert many <= 1.2 * few
