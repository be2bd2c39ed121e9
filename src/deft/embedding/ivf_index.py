"""An opt-in index of a pool by faiss (inverted lists, 8 bits a value): what is near, roughly and quickly.

What it names is measured again exactly, and how much it misses is measured on a sample. It is kept by the
pool's content; a half-built one never takes the place of a whole one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deft.embedding.tables import EmbeddingTable
from deft.errors import EnvironmentMissing
from deft.files import read_json, sha256_of_file, sha256_of_record, write_json
from deft.streams import replacing
from deft.workspace.layout import cache_home

Matrix = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
REVISION = 1
METRICS = ("cosine", "euclidean")
ROWS_PER_LIST = 39  # below it faiss warns that its clustering has too little to go by
TRAINED_ON_PER_LIST = 64
MOST_LISTS = 16384
PROBED_SHARE = 1 / 16
FEWEST_PROBED = 16


def load_faiss() -> Any:
    """Return faiss with as many threads as this process may use; EnvironmentMissing where it is absent."""
    # idle threads that spin keep the others from finishing on a busy machine
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import faiss
    except ImportError:
        raise EnvironmentMissing("faiss is not installed", hint="pip install 'deft-aoi[index]'") from None
    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    return faiss


@dataclass(frozen=True)
class IvfIndex:
    """A built index over the rows of one pool, under one metric."""

    index: Any
    metric: str

    @classmethod
    def of(cls, pool: EmbeddingTable, metric: str) -> IvfIndex:
        """Return the index of a pool: the one that is kept for its content, else a new one, which is kept."""
        faiss = load_faiss()
        key = {
            "pool": sha256_of_file(pool.path),
            "column": pool.column,
            "metric": metric,
            "revision": REVISION,
        }
        path = cache_home() / "indexes" / f"{sha256_of_record(key)[:32]}.ivf"
        if not _is_whole(path):
            _keep(faiss, _build(faiss, pool, metric), path)
        return cls(faiss.read_index(str(path)), metric)

    def near(self, targets: Matrix, count: int) -> Integers:
        """Return, for each target, `count` rows that are roughly the nearest; -1 where there are fewer."""
        wanted = _units(targets) if self.metric == "cosine" else targets
        self.index.nprobe = max(FEWEST_PROBED, int(self.index.nlist * PROBED_SHARE))
        rows: Integers = self.index.search(np.ascontiguousarray(wanted), count)[1]
        return rows


def _is_whole(path: Path) -> bool:
    note = path.with_suffix(".json")
    return path.is_file() and note.is_file() and read_json(note) == {"sha256": sha256_of_file(path)}


def _keep(faiss: Any, index: Any, path: Path) -> None:
    with replacing(path) as stream:
        faiss.write_index(index, faiss.PyCallbackIOWriter(stream.write))
    write_json(path.with_suffix(".json"), {"sha256": sha256_of_file(path)})


def _build(faiss: Any, pool: EmbeddingTable, metric: str) -> Any:
    lists = max(1, min(MOST_LISTS, int(4 * np.sqrt(pool.rows)), pool.rows // ROWS_PER_LIST))
    cosine = metric == "cosine"
    kind = faiss.METRIC_INNER_PRODUCT if cosine else faiss.METRIC_L2
    coarse = (faiss.IndexFlatIP if cosine else faiss.IndexFlatL2)(pool.width)
    index = faiss.IndexIVFScalarQuantizer(coarse, pool.width, lists, faiss.ScalarQuantizer.QT_8bit, kind)
    index.own_fields = True
    coarse.this.disown()
    chosen = np.random.default_rng(0).permutation(pool.rows)[: lists * TRAINED_ON_PER_LIST]
    sample = pool.vectors_at(np.sort(chosen))
    index.train(_units(sample) if cosine else sample)
    for vectors in _vectors(pool):
        index.add(_units(vectors) if cosine else vectors)
    return index


def _vectors(pool: EmbeddingTable) -> Iterator[Matrix]:
    for block in pool.blocks(()):
        yield np.ascontiguousarray(block.matrix)


def _units(matrix: Matrix) -> Matrix:
    lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
    units: Matrix = (matrix / np.where(lengths > 0, lengths, 1.0)[:, None]).astype(np.float32)
    return units
