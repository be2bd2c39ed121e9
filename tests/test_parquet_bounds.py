"""A table may not grow beyond what its file is worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deft import parquet_bounds
from deft.errors import InputRefused
from deft.parquet_bounds import require_bounded


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the floor so that small files can be bombs."""
    monkeypatch.setattr(parquet_bounds, "FLOOR_BYTES", 10_000)


def test_honest_tables_of_every_kind_are_read(tmp_path: Path, small: None) -> None:
    rng = np.random.default_rng(0)
    names = [f"board{n % 7}/C{n}" for n in range(2000)]
    table = pd.DataFrame({"filepath": names, "label": "PASS", "score": rng.random(2000)})
    table["embedding"] = list(rng.random((2000, 8)))
    table.to_parquet(tmp_path / "honest.parquet")
    require_bounded(tmp_path / "honest.parquet")
    pd.DataFrame({"filepath": []}).to_parquet(tmp_path / "empty.parquet")
    require_bounded(tmp_path / "empty.parquet")


@pytest.mark.parametrize("kind", ["rows", "text", "binary"])
def test_what_is_repeated_is_counted_as_often_as_it_stands_there(
    tmp_path: Path, small: None, kind: str
) -> None:
    if kind == "rows":
        column = pa.array(np.zeros(10**6, np.int64))
    else:
        long = "x" * 10_000 if kind == "text" else b"x" * 10_000
        column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10**5, np.int32)), pa.array([long]))
    pq.write_table(pa.table({"cell": column}), tmp_path / "bomb.parquet", store_schema=False)
    with pytest.raises(InputRefused, match=r"64 times its file: .*bomb\.parquet"):
        require_bounded(tmp_path / "bomb.parquet")


def test_a_null_among_texts_counts_nothing(tmp_path: Path) -> None:
    pq.write_table(pa.table({"cell": ["a", None], "none": [None, None]}), tmp_path / "nulls.parquet")
    require_bounded(tmp_path / "nulls.parquet")


def test_what_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "no.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputRefused, match=r"no\.parquet"):
        require_bounded(tmp_path / "no.parquet")
