"""Choose rows of the pool for weak targets: neighbours, label filter, history, similarity cut, cap.

Everything happens host-side from two embedding tables, because the container returns paths only
(contracts/loop.md "where mining happens"). Every candidate stays in the evidence with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from deft.embedding.candidates import CandidateSearch, Embedded, Pool, Rule, sample_rows
from deft.embedding.indexed_search import IndexUse, search_by_index
from deft.embedding.tables import EmbeddingTable

COLUMNS = ("target_filepath", "source_filepath", "rank", "similarity", "kept", "reason")


@dataclass(frozen=True)
class Selection:
    """Every candidate with its fate (`neighbours`), the kept rows in order, and the cut that was used."""

    neighbours: pd.DataFrame
    kept: list[str]
    cut: float | None
    without_candidates: tuple[str, ...]


def select(targets: Embedded, pool: Pool, rule: Rule, *, already: set[str]) -> Selection:
    """Return the rows of the pool that look like the targets and were not mined before."""
    search = new_search(targets, pool, rule)
    search.run(pool, already=already)
    return conclude(search, pool, rule)


def select_by_index(
    targets: Embedded, pool: EmbeddingTable, rule: Rule, *, already: set[str]
) -> tuple[Selection, IndexUse]:
    """Return what `select` does, found through an index of the pool where that misses next to nothing."""
    search = new_search(targets, pool, rule)
    use = search_by_index(search, pool, targets, rule, already=already)
    return conclude(search, pool, rule), use


def new_search(targets: Embedded, pool: Pool, rule: Rule) -> CandidateSearch:
    """Return a search that has seen nothing of the pool but the sample that the rule needs."""
    sample = None if rule.percentile is None else pool.vectors_at(sample_rows(pool.rows))
    return CandidateSearch(targets, rule, sample)


def conclude(search: CandidateSearch, pool: Pool, rule: Rule) -> Selection:
    """Decide about every candidate of a search that has seen the whole pool."""
    cut = search.cut()
    neighbours = _decide(search.candidates(), cut)
    if rule.synthetic_share is not None:
        rows = pool.rows_of(set(neighbours["source_filepath"]))
        neighbours = _cap_synthetic(neighbours, _synthetic(rows), rule.synthetic_share)
    kept = neighbours.loc[neighbours["kept"], "source_filepath"].tolist()
    return Selection(neighbours[list(COLUMNS)], kept, cut, search.without_candidates())


def _decide(neighbours: pd.DataFrame, cut: float | None) -> pd.DataFrame:
    order = neighbours.sort_values(
        ["similarity", "source_filepath", "target_filepath"], ascending=[False, True, True], kind="stable"
    )
    below = order["similarity"] < cut if cut is not None else pd.Series(False, index=order.index)
    repeated = order["source_filepath"].where(~below).duplicated() & ~below
    reason = np.select([below, repeated], ["below similarity cut", "kept for a nearer target"], "")
    return order.assign(kept=reason == "", reason=reason).reset_index(drop=True)


def _synthetic(table: pd.DataFrame) -> set[str]:
    if "provenance" not in table:
        return set()
    return set(table.loc[table["provenance"] == "sdg", "filepath"])


def _cap_synthetic(neighbours: pd.DataFrame, synthetic: set[str], share: float) -> pd.DataFrame:
    is_synthetic = neighbours["source_filepath"].isin(synthetic) & neighbours["kept"]
    real = int(neighbours["kept"].sum() - is_synthetic.sum())
    allowed = real if share >= 1 else int(share / (1 - share) * real)
    surplus = is_synthetic & (is_synthetic.cumsum() > allowed)
    return neighbours.assign(
        kept=neighbours["kept"] & ~surplus,
        reason=neighbours["reason"].where(~surplus, "over the synthetic share"),
    )


def draw_randomly(pool: Pool, count: int, *, already: set[str], seed: int) -> list[str]:
    """Return as many rows drawn at random from what was not mined before: the control arm."""
    fresh = sorted(set(pool.values("filepath")) - already)
    drawn = np.random.default_rng(seed).permutation(len(fresh))[:count]
    return [fresh[i] for i in sorted(drawn)]
