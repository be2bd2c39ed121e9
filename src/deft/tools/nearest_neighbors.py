"""`tmm nearest_neighbors`: the images of a pool that lie nearest to the targets.

The search is exact and takes vectors as they are, without normalising them. Filters come after it and nothing
is refilled, so a filtered target simply contributes fewer images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from omegaconf import MISSING, DictConfig

from deft import files
from deft.embedding.neighbours import NeighbourSearch
from deft.embedding.sets import FILEPATH, read_arrow, vector_matrix
from deft.embedding.tables import EmbeddingTable, batches, column_names, texts_of
from deft.errors import InputRefused
from deft.tools.output import report_progress, say

LABEL = "label"
TRUE_WORDS = ("true", "1", "yes")
METRICS = {"l2": "euclidean", "l1": "manhattan", "cityblock": "manhattan", "taxicab": "manhattan"}
LARGEST_COSINE_DISTANCE = 2.0
FILTER_OFF = -1.0


@dataclass
class NearestNeighborsConfig:
    """Keys of `tmm nearest_neighbors`; a `distance_threshold` below 0 keeps every distance."""

    source_parquet: str = MISSING
    target_parquet: str = MISSING
    output_parquet: str = MISSING
    topn: int = 5
    knn_metric: str = "euclidean"
    source_embed_column_name: str = "embedding"
    target_embed_column_name: str = "embedding"
    filter_by_label: str = "false"
    distance_threshold: float = FILTER_OFF


@dataclass(frozen=True)
class Source:
    """The pool: its table on disk, whose vectors are never held at once, and the labels of its rows."""

    table: EmbeddingTable
    labels: list[str] | None

    @classmethod
    def open(cls, path: Path, column: str) -> Source:
        """Open a table; an absent column or one without vectors is refused by name."""
        table = EmbeddingTable.open(path, column=_require(path, column), required=())
        if not table.rows or not table.width:
            raise _no_vectors(path, table.rows)
        return cls(table, _labels(table.values(LABEL)) if LABEL in table.columns else None)


@dataclass(frozen=True)
class Targets:
    """The queries: their vectors (float32, rows x width), and labels where they have them."""

    vectors: npt.NDArray[np.float32]
    labels: list[str] | None

    @classmethod
    def read(cls, path: Path, column: str) -> Targets:
        """Read a table; an absent column or one without vectors of one length is refused by name."""
        table = read_arrow(path, required=())
        vectors = vector_matrix(table.column(_require(path, column)), column, path)
        if not vectors.size:
            raise _no_vectors(path, table.num_rows)
        labels = _labels(texts_of(table.column(LABEL))) if LABEL in table.column_names else None
        return cls(vectors, labels)


def _require(path: Path, column: str) -> str:
    names = column_names(path)
    if column not in names:
        raise InputRefused(f"table lacks the column {column!r} (it has {', '.join(names)})", value=path)
    return column


def _no_vectors(path: Path, rows: int) -> InputRefused:
    return InputRefused("table has no vectors", value=f"{path}: {rows} rows")


def _labels(texts: list[str]) -> list[str]:
    return [text.strip().upper() for text in texts]


@dataclass(frozen=True)
class Matches:
    """Pairs of target and source row, targets in order, near to far, with the path of the source."""

    targets: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float64]
    paths: npt.NDArray[np.object_]

    def where(self, kept: npt.NDArray[np.bool_]) -> Matches:
        """Return the pairs that a filter keeps."""
        return Matches(self.targets[kept], self.sources[kept], self.distances[kept], self.paths[kept])

    def __len__(self) -> int:
        return len(self.sources)


def run(config: DictConfig) -> None:
    """Carry out `tmm nearest_neighbors`: write the paths found and mining_summary.txt beside them."""
    _warn_of_threshold(config.knn_metric, config.distance_threshold)
    output = Path(config.output_parquet)
    output.parent.mkdir(parents=True, exist_ok=True)
    source = Source.open(Path(config.source_parquet), config.source_embed_column_name)
    target = Targets.read(Path(config.target_parquet), config.target_embed_column_name)
    if FILEPATH not in source.table.columns:
        raise InputRefused(f"table lacks the column {FILEPATH!r}", value=source.table.path)
    matches = find(target, source, config.topn, config.knn_metric)
    kept, lines = _filtered(matches, target, source, config)
    found = _values_at(source.table, kept.sources)
    unique = list(dict.fromkeys(found))
    _write(output, unique)
    summary = [
        *_opening_lines(target, source, config.topn),
        *lines,
        f"  Total candidates: {len(found)}",
        f"  Duplicates removed: {len(found) - len(unique)}",
        f"  Unique items saved: {len(unique)}",
        f"  Results saved to: {config.output_parquet}",
    ]
    files.write_text(output.parent / "mining_summary.txt", "\n".join(summary) + "\n")
    say("\n".join(summary))


def _filtered(
    matches: Matches, target: Targets, source: Source, config: DictConfig
) -> tuple[Matches, list[str]]:
    """Apply the label filter, then the distance filter; return what is left and a line for each."""
    kept, lines = matches, []
    if _filters_labels(config.filter_by_label, source, target):
        kept = same_label(matches, target, source)
        lines.append(_kept_line("label mismatch", kept, matches, "mismatches"))
    if config.distance_threshold >= 0:
        before, limit = kept, config.distance_threshold
        kept = kept.where(kept.distances <= limit)
        lines.append(_kept_line("distance", kept, before, f"exceeding threshold {limit:.4f}"))
    return kept, lines


def find(target: Targets, source: Source, topn: int, metric: str) -> Matches:
    """Return the `topn` nearest sources of each target, or all of them when the pool is smaller."""
    search = NeighbourSearch(target.vectors, min(topn, source.table.rows), METRICS.get(metric, metric))
    for block in source.table.blocks((FILEPATH,)):
        paths = [str(path) for path in block.table[FILEPATH]]
        search.offer(block.matrix, block.start, paths)
        done = block.start + len(paths)
        report_progress(len(target.vectors) * done, len(target.vectors) * source.table.rows, "comparison")
    near = search.neighbours()
    targets = np.repeat(np.arange(len(near.row)), near.row.shape[1])
    return Matches(targets, near.row.ravel(), near.distance.ravel(), near.key.ravel())


def _values_at(table: EmbeddingTable, rows: npt.NDArray[np.int64]) -> list[object]:
    """Return what stands as path in some rows of the pool, in the type of its column."""
    values: dict[int, object] = {}
    for first, batch in batches(table.path, [FILEPATH]):
        wanted = rows[(rows >= first) & (rows < first + batch.num_rows)]
        taken = batch.column(FILEPATH).take(pa.array(wanted - first)).to_pylist()
        values |= zip(wanted.tolist(), taken, strict=True)
    return [values[row] for row in rows.tolist()]


def same_label(matches: Matches, target: Targets, source: Source) -> Matches:
    """Return the pairs whose labels agree but for case and outer blanks; a missing label is a label too."""
    wanted, offered = np.array(target.labels), np.array(source.labels)
    return matches.where(wanted[matches.targets] == offered[matches.sources])


def _filters_labels(flag: str, source: Source, target: Targets) -> bool:
    if flag.lower() not in TRUE_WORDS:
        return False
    without = [name for name, side in (("source", source), ("target", target)) if side.labels is None]
    if without:
        say(
            f"WARNING filter_by_label is enabled but the 'label' column is missing from: "
            f"{', '.join(without)}. Skipping label filtering — mined output will include cross-label pairs."
        )
    return not without


def _warn_of_threshold(metric: str, threshold: float) -> None:
    if metric == "cosine" and threshold > LARGEST_COSINE_DISTANCE:
        say(
            f"WARNING The given distance threshold of {threshold:.4f} exceeds the largest cosine distance, "
            f"{LARGEST_COSINE_DISTANCE}, so it filters nothing."
        )
    if threshold < 0 and threshold != FILTER_OFF:
        say(
            f"WARNING The given distance threshold of {threshold:.4f} is negative, so distance filtering is "
            "disabled. Use -1.0 to explicitly disable."
        )


def _opening_lines(target: Targets, source: Source, topn: int) -> list[str]:
    targets, pool = len(target.vectors), source.table.rows
    taken = min(topn, pool)
    note = "" if taken == topn else f" ({topn} asked for; the pool holds {pool})"
    return [
        "Summary:",
        f"  Target queries: {targets}",
        f"  Similar items per query: {taken}{note}",
        f"  Total pairs: {targets * taken}",
    ]


def _kept_line(filtered: str, kept: Matches, before: Matches, dropped: str) -> str:
    return (
        f"  After {filtered} filtering: kept {len(kept)}/{len(before)} pairs, "
        f"dropped {len(before) - len(kept)} {dropped}"
    )


def _write(output: Path, filepaths: Sequence[object]) -> None:
    # without rows the container's column has the type of an empty array of numbers
    column = pd.Series(list(filepaths), dtype=object if filepaths else np.float64)
    files.write_parquet(output, pd.DataFrame({FILEPATH: column}))
