"""Peak memory and time of an exact search in a pool on disk, 10^5 against 10^6 rows of 768 values in fp16.

    python -m benchmarks search_memory

Each search runs in a process of its own: 1,000 targets, cosine, the five nearest. Prints a table.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from deft.embedding.sets import embedding_writer

WIDTH, TARGETS, PIECE = 768, 1_000, 10_000
POOLS = (100_000, 1_000_000)
SEARCH = """
import sys, time
from pathlib import Path
from deft.embedding.candidates import Embedded, Rule
from deft.embedding.selection import select
from deft.embedding.sets import EmbeddingSet
from deft.embedding.tables import EmbeddingTable
targets = EmbeddingSet.read(Path(sys.argv[1]))
begun = time.perf_counter()
rule = Rule(top_k=5, label_filter="none")
select(Embedded(targets.table, targets.matrix), EmbeddingTable.open(Path(sys.argv[2])), rule, already=set())
seconds = time.perf_counter() - begun
print(seconds, next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def draw(path: Path, rows: int, seed: int) -> Path:
    """Write an embedding table of drawn vectors, piece by piece."""
    generator = np.random.default_rng(seed)
    with embedding_writer(path, {"model": "drawn"}, storage="float16") as writer:
        for start in range(0, rows, PIECE):
            names = [f"/{seed}/{row:08d}.png" for row in range(start, min(start + PIECE, rows))]
            vectors = generator.standard_normal((len(names), WIDTH), dtype=np.float32)
            writer.write(pa.table({"filepath": names}), vectors)
    return path


def measured(targets: Path, pool: Path) -> tuple[float, float]:
    """Return seconds and peak resident MiB of one search."""
    command = [sys.executable, "-c", SEARCH, str(targets), str(pool)]
    said = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=True)
    seconds, kibibytes = said.stdout.split()
    return float(seconds), int(kibibytes) / 1024


def main() -> None:
    """Draw, search, print."""
    with tempfile.TemporaryDirectory() as folder:
        targets = draw(Path(folder, "targets.parquet"), TARGETS, 0)
        print(
            f"| {TARGETS:,} targets against | seconds | peak resident memory | of that at {POOLS[0]:,} rows |"
        )
        print("|---|---|---|---|")
        first = 0.0
        for rows in POOLS:
            pool = draw(Path(folder, f"{rows}.parquet"), rows, 1)
            seconds, mebibytes = measured(targets, pool)
            first = first or mebibytes
            print(f"| {rows:,} x {WIDTH} | {seconds:.1f} | {mebibytes:,.0f} MiB | {mebibytes / first:.2f} |")


if __name__ == "__main__":
    main()
