"""The table at the end of the run."""

from __future__ import annotations

from figures import table


def test_columns_of_the_table_are_aligned() -> None:
    assert table([("a", "bb", "c"), ("aaa", "b", "cc")]) == ["a    bb  c", "aaa  b   cc"]
