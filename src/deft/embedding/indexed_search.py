"""Search a pool through an index, measure what that misses, and search exactly if it is too much."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deft.embedding.candidates import CandidateSearch, Embedded, Rule
from deft.embedding.ivf_index import METRICS, IvfIndex
from deft.embedding.tables import EmbeddingTable
from deft.errors import EnvironmentMissing

EXACT, IVF = "exact", "ivf"
NEEDED_RECALL = 0.99
SAMPLED_TARGETS = 64
EXPANSION = 20


@dataclass(frozen=True)
class IndexUse:
    """What came of an index: whether it was used, its measured recall, and why not where it was not."""

    used: str
    recall: float | None = None
    reason: str = ""

    def text(self) -> str:
        """Return one line for a summary."""
        measured = "" if self.recall is None else f", measured recall {self.recall:.4f}"
        return f"{self.used}{measured}" + (f" ({self.reason})" if self.reason else "")


def search_by_index(
    search: CandidateSearch, pool: EmbeddingTable, targets: Embedded, rule: Rule, *, already: Collection[str]
) -> IndexUse:
    """Fill a fresh search from an index of the pool, or exactly where the index cannot do or misses too much.

    Recall is the share of the exact neighbours of up to 64 targets that the index finds as well. A target
    whose rows of the index mostly fall to the label filter is searched for exactly all the same.
    """
    try:
        use = _by_index(search, pool, targets, rule, already)
    except EnvironmentMissing as missing:
        use = IndexUse(EXACT, None, missing.fact)
    if use.used == EXACT:
        search.run(pool, already=already)
    return use


def _by_index(
    search: CandidateSearch, pool: EmbeddingTable, targets: Embedded, rule: Rule, already: Collection[str]
) -> IndexUse:
    if rule.metric not in METRICS:
        return IndexUse(EXACT, None, f"the index does not know the metric {rule.metric}")
    index = IvfIndex.of(pool, rule.metric)
    near = index.near(targets.matrix, min(pool.rows, EXPANSION * rule.top_k))
    recall = _recall(near, pool, targets, rule, already)
    if recall < NEEDED_RECALL:
        return IndexUse(EXACT, recall, f"the index finds less than {NEEDED_RECALL}")
    _rank(search, near, pool, already)
    search.complete(pool, already)
    if rule.percentile is not None:
        search.run_sample(pool)
    return IndexUse(IVF, recall)


def _rank(
    search: CandidateSearch, near: npt.NDArray[np.int64], pool: EmbeddingTable, already: Collection[str]
) -> None:
    """Let a search compare each target exactly with the rows that an index named for it."""
    for block in pool.blocks(("filepath", "label")):
        search.offer_named(block, already, near)


def _recall(
    near: npt.NDArray[np.int64],
    pool: EmbeddingTable,
    targets: Embedded,
    rule: Rule,
    already: Collection[str],
) -> float:
    """Return the share of what an exact search for some targets finds that their rows of the index hold."""
    count = min(SAMPLED_TARGETS, targets.rows)
    chosen = np.unique(np.linspace(0, targets.rows - 1, count).astype(np.int64))
    mask = np.zeros(targets.rows, dtype=np.bool_)
    mask[chosen] = True
    plain = Rule(rule.top_k, rule.metric, rule.label_filter)
    exact, indexed = (CandidateSearch(targets.where(mask), plain) for _ in range(2))
    exact.run(pool, already=already)
    _rank(indexed, near[chosen], pool, already)
    wanted, found = exact.found(), indexed.found()
    reached = wanted.groupby(["group", "target"])["distance"].max().rename("reached")
    hits = found.merge(reached, on=["group", "target"])
    return float((hits["distance"] <= hits["reached"]).sum() / max(1, len(wanted)))
