"""Exact cosine neighbours against faiss and scikit-learn, in memory; then from fp16 Parquet, in blocks.

    python -m benchmarks nearest            # 200,000 vectors
    python benchmarks/nearest.py --rows 1000000
    python benchmarks/nearest.py --threads 1    # seconds of processor: on a machine that does other work

All are given the same unit vectors (1,000 targets, width 768) and must find the same rows. Peers:
`faiss.knn(targets, pool, 5, metric=faiss.METRIC_INNER_PRODUCT)` and scikit-learn's
`NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute").fit(pool).kneighbors(targets)`.
Needs faiss-cpu and scikit-learn beside the package.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.timing import in_turn, peak_mebibytes, print_times, seconds_of

TARGETS, WIDTH, NEAREST = 1_000, 768, 5
BLOCK = 50_000


def units(rows: int, seed: int) -> np.ndarray:
    """Draw unit vectors, float32."""
    drawn = np.random.default_rng(seed).standard_normal((rows, WIDTH), dtype=np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


def in_memory(rows: int, repeats: int, threads: int) -> None:
    """Print the times of all three; PyTorch is loaded before, as it is where pools are embedded."""
    import faiss
    import torch
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    from deft.embedding.neighbours import nearest

    targets, pool = units(TARGETS, 1), units(rows, 2)
    found: dict[str, np.ndarray] = {}

    def deft() -> None:
        found["deft"] = nearest(targets, pool, NEAREST, "cosine")[1]

    def by_faiss() -> None:
        found["faiss"] = faiss.knn(targets, pool, NEAREST, metric=faiss.METRIC_INNER_PRODUCT)[1]

    def by_sklearn() -> None:
        searched = NearestNeighbors(n_neighbors=NEAREST, metric="cosine", algorithm="brute").fit(pool)
        found["scikit-learn"] = searched.kneighbors(targets)[1]

    works = {"deft": deft, "faiss.knn": by_faiss, "scikit-learn": by_sklearn}
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    with threadpool_limits(threads):
        times = in_turn(works, repeats, time.process_time if threads == 1 else time.perf_counter)
    unit = "of processor" if threads == 1 else "on the wall"
    print(f"{TARGETS:,} x {rows:,} x {WIDTH}, {threads} thread(s), seconds {unit}")
    print_times(times, "deft")
    for peer in ("faiss", "scikit-learn"):
        print(f"same rows as {peer}: {(found['deft'] == found[peer]).mean():.4%}")


def from_parquet(rows: int) -> None:
    """Write a pool as fp16 Parquet, search it in a process of its own, and print time and memory."""
    import pyarrow as pa

    from deft.embedding.table_writer import TableWriter

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pool.parquet")
        with open(path, "wb") as stream:
            writer = TableWriter(stream, "filepath", "embedding", {}, "float16")
            for start in range(0, rows, BLOCK):
                count = min(BLOCK, rows - start)
                names = pa.array([f"{start + i:08d}.jpg" for i in range(count)])
                writer.write(pa.table({"filepath": names}), units(count, start))
            writer.close()
        subprocess.run([sys.executable, "-m", "benchmarks.nearest", "--search", str(path)], check=True)


def search(path: Path) -> None:
    """Search a Parquet pool block by block."""
    from deft.embedding.neighbours import NeighbourSearch
    from deft.embedding.tables import EmbeddingTable

    def work() -> None:
        searched = NeighbourSearch(units(TARGETS, 1), NEAREST, "cosine")
        for block in EmbeddingTable.open(path).blocks(()):
            searched.offer(block.matrix, block.start)
        searched.neighbours()

    print(f"from fp16 Parquet: {seconds_of(work):.1f} s, peak {peak_mebibytes()} MiB")


def main() -> None:
    """Measure in memory and from Parquet."""
    parser = argparse.ArgumentParser(description="Time exact cosine neighbours.")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--search", type=Path)
    given = parser.parse_args()
    if given.search:
        search(given.search)
        return
    in_memory(given.rows, given.repeats, given.threads)
    from_parquet(given.rows)


if __name__ == "__main__":
    main()
