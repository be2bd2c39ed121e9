"""Dealing boards to splits."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deft.errors import InputRefused
from deft.workspace.importers.group_split import split_by_group

SHARES = {"train": 0.2, "kpi": 0.3, "pool": 0.5}
ROWS = st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=200)


@given(ROWS, st.integers(0, 99))
def test_a_group_is_never_divided_and_every_split_has_both_classes(
    rows: list[tuple[int, bool]], seed: int
) -> None:
    groups, defects = [str(group) for group, _ in rows], [defect for _, defect in rows]
    try:
        splits = split_by_group(groups, defects, SHARES, seed)
    except InputRefused:
        return
    assert len({(group, split) for group, split in zip(groups, splits, strict=True)}) == len(set(groups))
    assert {(split, defect) for split, defect in zip(splits, defects, strict=True)} == {
        (split, defect) for split in SHARES for defect in (True, False)
    }


def test_many_equal_groups_meet_the_shares() -> None:
    groups = [f"g{number // 4}" for number in range(400)]
    defects = [number % 4 == 0 for number in range(400)]
    counts = Counter(split_by_group(groups, defects, SHARES, 0))
    assert {name: round(count / 400, 1) for name, count in counts.items()} == SHARES


def test_a_share_of_nothing_gets_no_group() -> None:
    splits = split_by_group(list("aabbcc"), [True, False] * 3, {"train": 0.5, "holdout": 0.0, "kpi": 0.5}, 0)
    assert set(splits) == {"train", "kpi"}


def test_one_board_cannot_fill_three_splits() -> None:
    with pytest.raises(InputRefused, match="of 4 rows on 1 boards"):
        split_by_group(["a"] * 4, [True, True, False, False], SHARES, 0)
