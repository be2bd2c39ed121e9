"""Share distinct images out among targets: every target gets as many of its nearest as every other.

In rounds each target takes its nearest images that nobody has; one that cannot get its full share gives its
picks back and tries again among more candidates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deft.embedding.neighbours import nearest
from deft.embedding.sets import read_arrow, vector_matrix
from deft.errors import InputRefused

ROUNDS = 8
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Pictures:
    """Paths and unit vectors (float32, rows x width) of as many images."""

    paths: npt.NDArray[np.object_]
    vectors: npt.NDArray[np.float32]

    @classmethod
    def read(cls, path: Path, column: str, path_column: str) -> Pictures:
        """Read a Parquet file, or every one of a folder in the order of their names."""
        tables = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        if not tables:
            raise InputRefused("folder holds no Parquet file", value=path)
        read = [read_arrow(each, required=(column, path_column)) for each in tables]
        vectors = np.concatenate(
            [
                vector_matrix(table.column(column), column, each)
                for table, each in zip(read, tables, strict=True)
            ]
        )
        if not vectors.size:
            raise InputRefused("table has no vectors", value=path)
        paths = [str(value) for table in read for value in table.column(path_column).to_pylist()]
        return cls(np.array(paths, dtype=object), _units(vectors))

    def where(self, kept: Flags) -> Pictures:
        """Return the images that a filter keeps."""
        return Pictures(self.paths[kept], self.vectors[kept])

    def __len__(self) -> int:
        return len(self.paths)


def _units(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
    units: npt.NDArray[np.float32] = (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    return units


@dataclass(frozen=True)
class Pick:
    """The share of one target: source rows of the pool of that round, and their distances, near to far."""

    target: str
    sources: tuple[str, ...]
    distances: tuple[float, ...]


@dataclass
class Subset:
    """What one quota was filled with: the picks of each round, and the images kept."""

    name: str
    share: int
    rounds: list[list[Pick]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def nearest_of_target(self) -> dict[str, float]:
        """Return the distance of the nearest pick of each target that got its share."""
        return {pick.target: pick.distances[0] for picks in self.rounds for pick in picks}


@dataclass(frozen=True)
class Search:
    """How candidates are searched for."""

    metric: str
    expansion: int


def match(name: str, targets: Pictures, pool: Pictures, wanted: int, search: Search) -> Subset:
    """Fill a quota of `wanted` images, each target the same share, in at most eight rounds."""
    subset = Subset(name, max(1, math.ceil(wanted / max(1, len(targets)))))
    taken: dict[str, float] = {}
    waiting = np.ones(len(targets), dtype=np.bool_)
    for number in range(1, ROUNDS + 1):
        left = pool.where(np.array([path not in taken for path in pool.paths], dtype=np.bool_))
        if len(taken) >= wanted or not waiting.any() or len(left) < subset.share:
            break
        picks = _one_round(targets.where(waiting), left, subset.share, number, search)
        if not picks:
            break
        subset.rounds.append(picks)
        for pick in picks:
            taken |= zip(pick.sources, pick.distances, strict=True)
        served = {pick.target for picks in subset.rounds for pick in picks}
        waiting = np.array([path not in served for path in targets.paths], dtype=np.bool_)
    subset.kept = sorted(taken, key=lambda path: (taken[path], path))[:wanted]
    return subset


def _one_round(targets: Pictures, pool: Pictures, share: int, number: int, search: Search) -> list[Pick]:
    k = min(search.expansion * share * number, len(pool))
    distances, rows = nearest(targets.vectors, pool.vectors, k, search.metric, tie_keys=pool.paths.tolist())
    claimed: set[str] = set()
    picks = []
    for target, near, candidates in zip(targets.paths, distances, pool.paths[rows], strict=True):
        free: dict[str, float] = {}
        for path, distance in zip(candidates, near, strict=True):
            if path not in claimed and len(free) < share:
                free.setdefault(path, float(np.float32(distance)))
        if len(free) == share:
            claimed |= free.keys()
            picks.append(Pick(target, tuple(free), tuple(free.values())))
    return picks


def quotas(counts: Mapping[str, int], wanted: int) -> dict[str, int]:
    """Share `wanted` in proportion to counts by largest remainder; of equal ones the later name gains."""
    total = sum(counts.values())
    if not total:
        return dict.fromkeys(counts, 0)
    shares = {name: wanted * count // total for name, count in counts.items()}
    by_remainder = sorted(counts, key=lambda name: (wanted * counts[name] % total, name), reverse=True)
    for name in by_remainder[: wanted - sum(shares.values())]:
        shares[name] += 1
    return shares
