"""A search that several share out finds what one finds, and says what it did not find."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deft.embedding.candidates import CandidateSearch, Embedded, Rule, sample_rows
from deft.errors import UsageError

LABELS = np.array(["PASS", "bridge", "shift"], dtype=object)


def drawn(rows: int, seed: int) -> Embedded:
    draw = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"filepath": [f"{seed}/{n % 150}" for n in range(rows)], "label": LABELS[draw.integers(0, 3, rows)]}
    )
    return Embedded(table, np.round(draw.normal(size=(rows, 4))).astype(np.float32))


TARGETS, POOL = drawn(20, 0), drawn(300, 1)


@pytest.mark.parametrize("label_filter", ["class", "label", "none"])
def test_searches_of_parts_together_find_what_one_search_finds(label_filter: str) -> None:
    rule = Rule(6, "euclidean", label_filter)
    whole = CandidateSearch(TARGETS, rule)
    whole.run(POOL, already={"1/7"})
    together = CandidateSearch(TARGETS, rule)
    for start, stop in ((200, 300), (0, 1), (1, 200)):
        part = CandidateSearch(TARGETS, rule)
        part.run(POOL, already={"1/7"}, start=start, stop=stop)
        together.take_in(part.found())
    pd.testing.assert_frame_equal(together.candidates(), whole.candidates())
    assert "1/7" not in set(whole.candidates()["source_filepath"])


def test_the_cut_of_parts_is_that_of_the_whole() -> None:
    rule = Rule(3, label_filter="none", min_similarity="p25")
    sample = POOL.vectors_at(sample_rows(POOL.rows))
    whole, together = (CandidateSearch(TARGETS, rule, sample) for _ in range(2))
    whole.run(POOL)
    for start in range(0, 300, 50):
        part = CandidateSearch(TARGETS, rule, sample)
        part.run(POOL, start=start, stop=start + 50)
        together.take_in(part.found())
    assert together.cut() == whole.cut() is not None
    assert CandidateSearch(TARGETS, Rule(3, min_similarity=0.5)).cut() == 0.5


def test_a_group_that_the_pool_lacks_is_named() -> None:
    search = CandidateSearch(TARGETS, Rule(2, label_filter="label"))
    search.run(POOL.where((POOL.table["label"] != "shift").to_numpy()))
    assert search.without_candidates() == ("shift",)


def test_progress_counts_the_rows() -> None:
    seen: list[int] = []
    CandidateSearch(TARGETS, Rule(2)).run(POOL, progress=seen.append)
    assert sum(seen) == POOL.rows


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown label filter: colour"):
        CandidateSearch(TARGETS, Rule(2, label_filter="colour"))
