"""The nearest rows of a pool for each target, group by group, while the pool goes by in blocks.

What is found can be written down and taken in again, so several processes can search one range of the pool
each; together they find what one search over all of it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from deft.embedding.neighbours import NeighbourSearch
from deft.embedding.running_best import Neighbours
from deft.embedding.screening import slices
from deft.embedding.tables import BLOCK_ROWS, TableBlock
from deft.errors import UsageError

PASS = "PASS"
PERCENTILE_SAMPLE = 2000
SAMPLE = None
"""The group of the pool's own sample in what a search wrote down."""
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

    @property
    def percentile(self) -> float | None:
        """Return which percentile of the pool's own similarity is the cut, where it is one."""
        text = self.min_similarity
        return float(text.removeprefix("p")) if isinstance(text, str) else None


class Blocks(Protocol):
    """Whatever yields rows with their vectors."""

    def blocks(
        self, columns: Sequence[str], *, start: int = 0, stop: int | None = None
    ) -> Iterator[TableBlock]:
        """Yield the rows from `start` to `stop` in blocks, with those of the columns that exist."""


class Pool(Blocks, Protocol):
    """Rows with `filepath` (and `label`, `provenance`) and their vectors, in memory or on disk."""

    @property
    def rows(self) -> int:
        """Return how many rows there are."""

    def vectors_at(self, rows: npt.NDArray[np.int64]) -> Matrix:
        """Return the vectors of some rows."""

    def values(self, column: str) -> list[str]:
        """Return one column as text."""

    def rows_of(self, paths: Collection[str]) -> pd.DataFrame:
        """Return every column but the vectors of the rows with one of these paths, in their order."""


@dataclass(frozen=True)
class Embedded:
    """Rows and their vectors in memory: a table with `filepath` and `label`, a matrix of as many rows."""

    table: pd.DataFrame
    matrix: Matrix

    @property
    def rows(self) -> int:
        return len(self.table)

    def where(self, mask: npt.NDArray[np.bool_]) -> Embedded:
        return Embedded(self.table[mask].reset_index(drop=True), self.matrix[mask])

    def blocks(
        self, columns: Sequence[str], *, start: int = 0, stop: int | None = None
    ) -> Iterator[TableBlock]:
        table = self.table[[name for name in columns if name in self.table]]
        for part in slices((self.rows if stop is None else stop) - start, BLOCK_ROWS):
            rows = slice(start + part.start, start + part.stop)
            yield TableBlock(rows.start, table.iloc[rows], self.matrix[rows])

    def vectors_at(self, rows: npt.NDArray[np.int64]) -> Matrix:
        return self.matrix[rows]

    def values(self, column: str) -> list[str]:
        return [str(value) for value in self.table[column]]

    def rows_of(self, paths: Collection[str]) -> pd.DataFrame:
        return self.table[self.table["filepath"].isin(set(paths))]


def sample_rows(rows: int) -> npt.NDArray[np.int64]:
    """Return the rows of a pool on which its own similarity is measured."""
    return np.random.default_rng(0).permutation(rows)[:PERCENTILE_SAMPLE]


class CandidateSearch:
    """The search for the `top_k` nearest of each target, among rows of its group only.

    `sample` (vectors of the pool's own rows) is searched for as well, over all groups, where the rule cuts at
    a percentile. Raises UsageError for an unknown label filter.
    """

    def __init__(self, targets: Embedded, rule: Rule, sample: Matrix | None = None) -> None:
        self._targets, self._rule = targets, rule
        names = self._names(targets.table)
        self._members = {name: np.flatnonzero(names == name) for name in sorted(set(names))}
        if rule.label_filter == "none" and not self._members:
            self._members = {"all": np.flatnonzero(names)}  # no target: the search itself refuses that
        self._searches: dict[str | None, NeighbourSearch] = {
            name: NeighbourSearch(targets.matrix[members], rule.top_k, rule.metric)
            for name, members in self._members.items()
        }
        self._offered = dict.fromkeys(self._members, 0)
        if sample is not None:
            self._searches[SAMPLE] = NeighbourSearch(sample, 2, rule.metric)

    def _names(self, table: pd.DataFrame) -> npt.NDArray[Any]:
        """Return the group of each row."""
        if self._rule.label_filter == "none":
            return np.full(len(table), "all", dtype=object)
        labels = table["label"].to_numpy(dtype=object)
        if self._rule.label_filter == "class":
            return np.where(labels == PASS, PASS, "defect").astype(object)
        if self._rule.label_filter == "label":
            return labels
        raise UsageError("unknown label filter", value=self._rule.label_filter, hint="class, label or none")

    def run(
        self,
        pool: Blocks,
        *,
        already: Collection[str] = (),
        start: int = 0,
        stop: int | None = None,
        progress: Callable[[int], None] = lambda rows: None,
    ) -> None:
        """Search the rows from `start` to `stop` of a pool, without those mined `already`.

        `progress` is called with how many rows were compared since it was called last.
        """
        for block in pool.blocks(("filepath", "label"), start=start, stop=stop):
            if SAMPLE in self._searches:
                self._searches[SAMPLE].offer(block.matrix, block.start)
            self._offer(block, already)
            progress(len(block.matrix))

    def run_sample(self, pool: Blocks) -> None:
        """Search a pool for its own sample alone, which is what a cut at a percentile needs."""
        for block in pool.blocks(()):
            self._searches[SAMPLE].offer(block.matrix, block.start)

    def _offer(self, block: TableBlock, already: Collection[str]) -> None:
        names, paths, fresh = self._described(block, already)
        for name in self._members:
            places = np.flatnonzero(fresh & (names == name))
            if len(places):
                numbers, keys = block.start + places, paths[places].tolist()
                self._searches[name].offer_rows(block.matrix[places], numbers, keys)

    def offer_named(self, block: TableBlock, already: Collection[str], named: npt.NDArray[np.int64]) -> None:
        """Compare with each target only the rows of a block that `named` (targets, any number) has for it."""
        names, paths, fresh = self._described(block, already)
        for name, members in self._members.items():
            self._offered[name] += int((fresh & (names == name)).sum())
            places = named[members] - block.start
            targets, column = np.nonzero((places >= 0) & (places < len(fresh)))
            rows = places[targets, column]
            kept = fresh[rows] & (names[rows] == name)
            self._searches[name].offer_pairs(block.matrix, block.start, targets[kept], rows[kept], paths)

    def complete(self, pool: Blocks, already: Collection[str]) -> None:
        """Search exactly for the targets whose named rows left them fewer than their group could give."""
        short = {name: self._short(name) for name in self._members}
        mask = np.zeros(self._targets.rows, dtype=np.bool_)
        for name, places in short.items():
            mask[self._members[name][places]] = True
        if not mask.any():
            return
        exact = CandidateSearch(self._targets.where(mask), self._rule)
        exact.run(pool, already=already)
        for name in exact._members:
            self._searches[name].best.replace(short[name], exact._searches[name].best)

    def _short(self, name: str) -> npt.NDArray[np.int64]:
        """Return which targets of a group have fewer rows than the pool holds for it, up to k."""
        best = self._searches[name].best
        return np.flatnonzero(best.filled < min(best.k, self._offered[name]))

    def _described(
        self, block: TableBlock, already: Collection[str]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Return the group, the path and the freshness of each row of a block."""
        paths = block.table["filepath"]
        fresh = ~paths.isin(already).to_numpy()
        return self._names(block.table), paths.to_numpy(dtype=object), fresh

    # --- what was found ----------------------------------------------------------------------

    def found(self) -> pd.DataFrame:
        """Return every pair that was found: group, target row, pool row, distance, path."""
        parts = [_pairs(name, search.neighbours()) for name, search in self._searches.items()]
        return pd.concat(parts, ignore_index=True)

    def take_in(self, found: pd.DataFrame) -> None:
        """Add what a search for the same targets found in other rows of the pool."""
        for name, search in self._searches.items():
            pairs = found[found["group"].isna() if name is SAMPLE else found["group"] == name]
            search.best.merge(
                pairs["target"].to_numpy(),
                pairs["row"].to_numpy(),
                pairs["distance"].to_numpy(),
                pairs["filepath"].to_numpy(dtype=object),
            )

    def cut(self) -> float | None:
        """Return the cosine below which a neighbour is refused; a percentile is taken of the pool itself.

        Scales differ widely between encoders, so a percentile travels where a cosine does not.
        """
        wanted, percentile = self._rule.min_similarity, self._rule.percentile
        if percentile is None:
            return None if wanted is None else float(wanted)
        distance = self._searches[SAMPLE].neighbours().distance
        return float(np.percentile(1.0 - distance[:, -1], percentile))

    def without_candidates(self) -> tuple[str, ...]:
        """Return the groups of targets for which the pool held no row."""
        return tuple(name for name in self._members if not self._searches[name].neighbours().row.shape[1])

    def candidates(self) -> pd.DataFrame:
        """Return the neighbours of each target by path, near to far, with rank and similarity."""
        parts = []
        for name, members in self._members.items():
            near = self._searches[name].neighbours()
            similarity = 1.0 - near.distance if self._rule.metric == "cosine" else -near.distance
            targets, k = near.row.shape
            wanted = self._targets.table["filepath"].to_numpy(dtype=object)[members]
            columns = {
                "target_filepath": np.repeat(wanted, k),
                "source_filepath": near.key.ravel(),
                "rank": np.tile(np.arange(1, k + 1), targets),
                "similarity": similarity.ravel(),
            }
            if k:
                parts.append(pd.DataFrame(columns)[near.row.ravel() >= 0])
        return pd.concat(parts, ignore_index=True) if parts else _no_candidates()


def _pairs(name: str | None, near: Neighbours) -> pd.DataFrame:
    targets, k = near.row.shape
    columns = {
        "group": np.full(targets * k, name, dtype=object),
        "target": np.repeat(np.arange(targets), k),
        "row": near.row.ravel(),
        "distance": near.distance.ravel(),
        "filepath": near.key.ravel(),
    }
    return pd.DataFrame(columns)[near.row.ravel() >= 0]


def _no_candidates() -> pd.DataFrame:
    types = {"rank": "int64", "similarity": "float64"}
    names = ("target_filepath", "source_filepath", "rank", "similarity")
    return pd.DataFrame({name: pd.Series(dtype=types.get(name, "object")) for name in names})
