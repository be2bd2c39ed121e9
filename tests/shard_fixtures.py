"""Planned shards of drawn vectors and pictures, approved as a person would, and workers to be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from deft import files
from deft.embedding.sets import embedding_writer
from deft.shards.ledger import ShardFolder
from step_fixtures import agreed
from tiny_models import draw_images, save_pair_checkpoint, save_siglip

SOURCE = Path(__file__).resolve().parents[1] / "src"
ROWS = 1_500
LABELS = ("PASS", "bridge", "shift")
FINGERPRINT = {"model": "SigLIP", "identity": "drawn"}
RESULTS = ("mined.parquet", "neighbours.parquet", "knn_summary.csv", "mining_summary.txt")


def draw_vectors(path: Path, rows: int, *, seed: int, width: int = 12, storage: str = "double") -> Path:
    """Write an embedding table with labels and many equal vectors, whose first and last image exist."""
    draw = np.random.default_rng(seed)
    vectors = np.round(draw.normal(size=(rows, width)) * 2).astype(np.float32)
    names = [str(path.parent / f"{path.stem}_{number:06d}.png") for number in draw.permutation(rows)]
    for name in (names[0], names[-1]):
        Path(name).touch()
    table = {
        "filepath": names,
        "label": [LABELS[number] for number in draw.integers(0, 3, rows)],
        "provenance": ["sdg" if number else "real" for number in draw.integers(0, 2, rows)],
    }
    with embedding_writer(path, FINGERPRINT, storage=storage) as writer:
        writer.write(pa.table(table), vectors)
    return path


class Mining:
    """Targets and a pool, and plans of their search."""

    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.place, self._capsys = place, capsys
        self.targets = draw_vectors(place / "targets.parquet", 40, seed=1)
        self.pool = draw_vectors(place / "pool.parquet", ROWS, seed=2)

    def plan(self, name: str, shards: int, *more: object) -> ShardFolder:
        """Plan the search in a new folder and approve it."""
        words = ("shard", "plan", "mining", self.targets, self.pool, "--output-dir", self.place / name)
        agreed(self._capsys, self.place, *words, "--shards", shards, *(more or RULE))
        return ShardFolder.at(self.place / name)


RULE = ("--top-k", 7, "--filter-by-label", "class", "--min-similarity", "p25", "--synthetic-share", 0.3)


class Embedding:
    """A table of pictures with doubles among them, and plans of their embedding."""

    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.place, self._capsys = place, capsys
        pictures = draw_images(place / "images", 24)
        pictures += pictures[3:9]
        rows = {"filepath": pictures[:15], "golden_filepath": pictures[15:], "label": "PASS"}
        self.table = files.write_parquet(place / "table.parquet", pd.DataFrame(rows))
        self.models = {
            "SigLIP": save_siglip(place / "model"),
            "deft_pair": save_pair_checkpoint(place / "m.pth"),
        }

    def plan(self, name: str, shards: int, model: str = "SigLIP", *more: object) -> ShardFolder:
        """Plan the embedding in a new folder and approve it."""
        words = (
            "shard",
            "plan",
            "embedding",
            self.table,
            "--output-dir",
            self.place / name,
            "--encoder",
            model,
        )
        self._capsys.readouterr()  # what tools said before
        agreed(
            self._capsys, self.place, *words, "--encoder-path", self.models[model], "--shards", shards, *more
        )
        return ShardFolder.at(self.place / name)


def worker(folder: ShardFolder, *words: object, program: str = "") -> subprocess.Popen[bytes]:
    """Start `deft shard run` in a process of its own, or a program in its place."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    begin = [program] if program else ["-m", "deft"]
    command = [sys.executable, *begin, "shard", "run", str(folder.root), *map(str, words)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def bytes_of(folder: Path, names: tuple[str, ...] = RESULTS) -> dict[str, Any]:
    """Return the hash of each result."""
    return {name: files.sha256_of_file(folder / name) for name in names}
