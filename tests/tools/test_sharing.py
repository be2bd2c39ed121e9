"""Images are shared out evenly, nearest first, each to one target only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.errors import InputRefused
from deft.tools.sharing import Pictures, Search, match, quotas

EUCLIDEAN = Search("euclidean", 5)


def pictures(prefix: str, angles: list[float], names: list[str] | None = None) -> Pictures:
    paths = names or [f"{prefix}{number}" for number in range(len(angles))]
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return Pictures(np.array(paths, dtype=object), vectors)


def test_each_target_gets_its_share_of_the_nearest() -> None:
    found = match("all", pictures("t", [0.0, 1.0]), pictures("s", [0.1, 0.2, 1.1, 1.2]), 4, EUCLIDEAN)
    assert [pick.sources for pick in found.rounds[0]] == [("s0", "s1"), ("s2", "s3")]
    assert sorted(found.kept) == ["s0", "s1", "s2", "s3"]


def test_no_image_goes_to_two_targets_and_the_first_target_chooses_first() -> None:
    found = match("all", pictures("t", [0.0, 0.01]), pictures("s", [0.0, 0.5, 1.0]), 2, EUCLIDEAN)
    assert [pick.sources for pick in found.rounds[0]] == [("s0",), ("s1",)]


def test_a_target_that_cannot_fill_its_share_gives_its_picks_back_and_widens_its_search() -> None:
    targets = pictures("t", [0.0, 0.01, 2.0])
    pool = pictures("s", [0.0, 0.1, 0.2, 0.3, 2.0, 2.1])
    found = match("all", targets, pool, 6, Search("euclidean", 1))
    assert [[pick.target for pick in picks] for picks in found.rounds] == [["t0", "t2"], ["t1"]]
    assert found.rounds[1][0].sources == ("s2", "s3")


def test_a_share_larger_than_the_pool_leaves_nothing() -> None:
    found = match("all", pictures("t", [0.0]), pictures("s", [0.0, 0.1]), 3, EUCLIDEAN)
    assert (found.rounds, found.kept) == ([], [])


def test_a_round_that_serves_nobody_is_the_last() -> None:
    pool = pictures("s", [0.0, 0.1, 0.2], names=["a", "a", "a"])
    assert match("all", pictures("t", [0.0]), pool, 2, EUCLIDEAN).rounds == []


def test_more_picks_than_wanted_are_cut_nearest_first_then_by_path() -> None:
    pool = pictures("s", [0.1, -0.1, 1.05, 0.3], names=["b", "a", "c", "d"])
    found = match("all", pictures("t", [0.0, 1.0]), pool, 3, EUCLIDEAN)
    assert found.kept == ["c", "a", "b"]


def test_a_path_that_stands_twice_is_one_image() -> None:
    pool = pictures("s", [0.0, 0.0, 0.4], names=["a", "a", "b"])
    found = match("all", pictures("t", [0.0]), pool, 2, EUCLIDEAN)
    assert found.rounds[0][0].sources == ("a", "b")


@pytest.mark.parametrize(
    ("counts", "wanted", "expected"),
    [
        ({"bridge": 2, "shift": 2, "non_rare": 2}, 50, {"bridge": 16, "shift": 17, "non_rare": 17}),
        ({"a": 1, "b": 3}, 8, {"a": 2, "b": 6}),
        ({"a": 1, "b": 0}, 3, {"a": 3, "b": 0}),
        ({"a": 0}, 3, {"a": 0}),
    ],
)
def test_a_number_is_shared_by_largest_remainder(
    counts: dict[str, int], wanted: int, expected: dict[str, int]
) -> None:
    assert quotas(counts, wanted) == expected


@settings(max_examples=60, deadline=None)
@given(counts=st.dictionaries(st.text(min_size=1), st.integers(0, 50), min_size=1), wanted=st.integers(1, 99))
def test_shares_add_up_and_lie_within_one_of_their_proportion(counts: dict[str, int], wanted: int) -> None:
    shares, total = quotas(counts, wanted), sum(counts.values())
    if total:
        assert sum(shares.values()) == wanted
        assert all(abs(shares[name] - wanted * counts[name] / total) < 1 for name in counts)


def write(path: Path, names: list[str], vectors: Any) -> None:
    pd.DataFrame({"filepath": names, "embedding": vectors}).to_parquet(path)


def test_a_folder_of_tables_is_read_in_the_order_of_their_names_as_unit_vectors(tmp_path: Path) -> None:
    write(tmp_path / "b.parquet", ["/3"], [[0.0, 0.0]])
    write(tmp_path / "a.parquet", ["/1", "/2"], [[3.0, 4.0], [0.0, 2.0]])
    read = Pictures.read(tmp_path, "embedding", "filepath")
    assert read.paths.tolist() == ["/1", "/2", "/3"]
    np.testing.assert_allclose(read.vectors, [[0.6, 0.8], [0.0, 1.0], [0.0, 0.0]], rtol=1e-6)


def test_a_folder_without_tables_and_a_table_without_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="no Parquet file"):
        Pictures.read(tmp_path, "embedding", "filepath")
    write(tmp_path / "a.parquet", [], [])
    with pytest.raises(InputRefused, match="no vectors"):
        Pictures.read(tmp_path / "a.parquet", "embedding", "filepath")
