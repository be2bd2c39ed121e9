from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from deft import files
from deft.errors import InputRefused
from deft.steps.mining_tables import MiningTable
from shard_fixtures import draw_vectors


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return draw_vectors(tmp_path / "pool.parquet", 20_000, seed=0, width=2)


def test_a_long_table_is_known_by_its_columns_and_distinct_labels(pool: Path) -> None:
    found = MiningTable.read(pool)
    assert found.labels == ("PASS", "bridge", "shift")
    assert found.is_embedded
    assert found.normal_labels().tolist() == ["PASS", "bridge", "shift"]


def test_a_csv_says_the_same(pool: Path) -> None:
    table = files.read_parquet(pool).drop(columns="embedding")
    found = MiningTable.read(files.write_csv(pool.with_suffix(".csv"), table))
    assert found.labels == ("PASS", "bridge", "shift")
    assert not found.is_embedded


@pytest.mark.parametrize("row", [0, -1])
def test_the_first_and_the_last_image_must_exist(pool: Path, row: int) -> None:
    image = files.read_parquet(pool)["filepath"].iloc[row]
    Path(image).unlink()
    with pytest.raises(InputRefused, match=r"image of pool\.parquet does not exist"):
        MiningTable.read(pool)


def test_no_rows_and_no_labels_are_refused(tmp_path: Path) -> None:
    empty = files.write_parquet(tmp_path / "e.parquet", pd.DataFrame({"filepath": pd.Series(dtype=str)}))
    with pytest.raises(InputRefused, match="no rows"):
        MiningTable.read(empty)
    (tmp_path / "a.png").touch()
    bare = files.write_parquet(tmp_path / "b.parquet", pd.DataFrame({"filepath": [str(tmp_path / "a.png")]}))
    with pytest.raises(InputRefused, match="no column label"):
        MiningTable.read(bare).normal_labels()
