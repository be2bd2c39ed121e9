"""Choose rows of the pool for weak targets: neighbours, label filter, history, similarity cut, cap.

Everything happens host-side from two embedding tables, because the container returns paths only
(contracts/loop.md "where mining happens"). Every candidate stays in the evidence with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deft.embedding.neighbours import nearest
from deft.errors import UsageError

PASS = "PASS"
PERCENTILE_SAMPLE = 2000
COLUMNS = ("target_filepath", "source_filepath", "rank", "similarity", "kept", "reason")
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Rule:
    """How neighbours become rows.

    `label_filter`: `class` (PASS with PASS, defects with defects), `label` (equal labels) or `none`.
    `min_similarity`: a cosine, a percentile of the pool's own nearest-neighbour similarity ("p25"), or None.
    `synthetic_share`: the largest share of synthetic rows among the kept, or None.
    """

    top_k: int
    metric: str = "cosine"
    label_filter: str = "class"
    min_similarity: float | str | None = None
    synthetic_share: float | None = None


@dataclass(frozen=True)
class Embedded:
    """Rows and their vectors: a table with `filepath` and `label` and a matrix of as many rows."""

    table: pd.DataFrame
    matrix: Matrix

    def where(self, mask: npt.NDArray[np.bool_]) -> Embedded:
        return Embedded(self.table[mask].reset_index(drop=True), self.matrix[mask])


@dataclass(frozen=True)
class Selection:
    """Every candidate with its fate (`neighbours`), the kept rows in order, and the cut that was used."""

    neighbours: pd.DataFrame
    kept: list[str]
    cut: float | None
    without_candidates: tuple[str, ...]


def select(targets: Embedded, pool: Embedded, rule: Rule, *, already: set[str]) -> Selection:
    """Return the rows of the pool that look like the targets and were not mined before."""
    fresh = pool.where(~pool.table["filepath"].isin(already).to_numpy())
    cut = similarity_cut(pool, rule)
    found: list[pd.DataFrame] = []
    empty: list[str] = []
    for name, wanted, offered in _groups(targets, fresh, rule.label_filter):
        if len(offered.table) == 0:
            empty.append(name)
            continue
        found.append(_candidates(wanted, offered, rule))
    neighbours = pd.concat(found, ignore_index=True) if found else _no_candidates()
    neighbours = _decide(neighbours, cut)
    neighbours = _cap_synthetic(neighbours, _synthetic(pool.table), rule.synthetic_share)
    kept = neighbours.loc[neighbours["kept"], "source_filepath"].tolist()
    return Selection(neighbours[list(COLUMNS)], kept, cut, tuple(empty))


def _no_candidates() -> pd.DataFrame:
    types = {"rank": "int64", "similarity": "float64"}
    return pd.DataFrame({name: pd.Series(dtype=types.get(name, "object")) for name in COLUMNS[:4]})


def _groups(targets: Embedded, pool: Embedded, label_filter: str) -> Iterator[tuple[str, Embedded, Embedded]]:
    if label_filter == "none":
        yield "all", targets, pool
        return
    target_names, pool_names = (_group_names(side.table, label_filter) for side in (targets, pool))
    for name in sorted(set(target_names)):
        yield name, targets.where(target_names == name), pool.where(pool_names == name)


def _group_names(table: pd.DataFrame, label_filter: str) -> npt.NDArray[Any]:
    labels = table["label"].to_numpy(dtype=object)
    if label_filter == "class":
        return np.where(labels == PASS, PASS, "defect").astype(object)
    if label_filter == "label":
        return labels
    raise UsageError("unknown label filter", value=label_filter, hint="class, label or none")


def _candidates(targets: Embedded, pool: Embedded, rule: Rule) -> pd.DataFrame:
    names = pool.table["filepath"].to_numpy(dtype=object)
    k = min(rule.top_k, len(names))
    distance, index = nearest(targets.matrix, pool.matrix, k, rule.metric, tie_keys=names.tolist())
    similarity = 1.0 - distance if rule.metric == "cosine" else -distance
    return pd.DataFrame(
        {
            "target_filepath": np.repeat(targets.table["filepath"].to_numpy(dtype=object), k),
            "source_filepath": names[index.ravel()],
            "rank": np.tile(np.arange(1, k + 1), len(targets.table)),
            "similarity": similarity.ravel(),
        }
    )


def similarity_cut(pool: Embedded, rule: Rule) -> float | None:
    """Return the cosine below which a neighbour is refused; a percentile is taken of the pool itself.

    Scales differ widely between encoders, so a percentile travels where a cosine does not.
    """
    wanted = rule.min_similarity
    if wanted is None or isinstance(wanted, (int, float)):
        return wanted
    percentile = float(str(wanted).removeprefix("p"))
    sample = np.random.default_rng(0).permutation(len(pool.matrix))[:PERCENTILE_SAMPLE]
    distance, _ = nearest(pool.matrix[sample], pool.matrix, 2, rule.metric)
    return float(np.percentile(1.0 - distance[:, 1], percentile))


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


def _cap_synthetic(neighbours: pd.DataFrame, synthetic: set[str], share: float | None) -> pd.DataFrame:
    if share is None:
        return neighbours
    is_synthetic = neighbours["source_filepath"].isin(synthetic) & neighbours["kept"]
    real = int(neighbours["kept"].sum() - is_synthetic.sum())
    allowed = real if share >= 1 else int(share / (1 - share) * real)
    surplus = is_synthetic & (is_synthetic.cumsum() > allowed)
    return neighbours.assign(
        kept=neighbours["kept"] & ~surplus,
        reason=neighbours["reason"].where(~surplus, "over the synthetic share"),
    )


def draw_randomly(pool: Embedded, count: int, *, already: set[str], seed: int) -> list[str]:
    """Return as many rows drawn at random from what was not mined before: the control arm."""
    fresh = sorted(set(pool.table["filepath"]) - already)
    drawn = np.random.default_rng(seed).permutation(len(fresh))[:count]
    return [fresh[i] for i in sorted(drawn)]
