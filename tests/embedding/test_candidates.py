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


def test_a_row_is_a_candidate_only_where_it_exists() -> None:
    search = CandidateSearch(TARGETS, Rule(3, label_filter="none"))
    named = np.full((TARGETS.rows, 3), -1)
    named[1] = [7, 8, 9]
    named[2, 0] = 5
    for block in POOL.blocks(("filepath", "label")):
        search.offer_named(block, (), named)
    candidates, paths = search.candidates(), TARGETS.table["filepath"]
    assert candidates["target_filepath"].tolist() == [paths[1]] * 3 + [paths[2]]
    assert candidates["source_filepath"].tolist()[3] == POOL.table["filepath"][5]
    assert np.isfinite(candidates["similarity"]).all()
    assert search.found()["row"].min() >= 0


def test_targets_whose_named_rows_were_too_few_are_searched_for_exactly() -> None:
    rule = Rule(3, label_filter="class")
    exact, named = (CandidateSearch(TARGETS, rule) for _ in range(2))
    exact.run(POOL, already={"1/7"})
    for block in POOL.blocks(("filepath", "label")):
        named.offer_named(block, {"1/7"}, np.full((TARGETS.rows, 3), -1))
    named.complete(POOL, {"1/7"})
    pd.testing.assert_frame_equal(named.candidates(), exact.candidates())


def test_targets_that_have_all_that_exists_are_not_searched_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search, few = CandidateSearch(TARGETS, Rule(9, label_filter="none")), POOL.where(np.arange(300) < 4)
    for block in few.blocks(("filepath", "label")):
        search.offer_named(block, (), np.tile(np.arange(4), (TARGETS.rows, 1)))
    monkeypatch.setattr(CandidateSearch, "run", lambda *_, **__: pytest.fail("searched again"))
    search.complete(few, ())
    assert len(search.candidates()) == 4 * TARGETS.rows


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown label filter: colour"):
        CandidateSearch(TARGETS, Rule(2, label_filter="colour"))
