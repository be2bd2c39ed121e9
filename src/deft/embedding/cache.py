"""Vectors kept by the content of what was embedded, so that an iteration embeds only what is new.

One folder an encoder component, named by the hash of its identity; in it segments, each written once in one
step and named by the hash of its own bytes. Two processes never write the same name with different bytes, so
no lock is needed, and a damaged segment is recognised and dropped.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft.files import sha256_of_bytes, sha256_of_file, sha256_of_record, write_bytes
from deft.workspace.layout import cache_home

MAX_BYTES = 4 * 1024**3
DIGEST_BYTES = 32


def cache_folder() -> Path:
    """Return the folder of all embedding caches of this user."""
    return cache_home() / "embeddings"


class VectorCache:
    """The vectors that one encoder component has already computed, by content digest (64 hex digits)."""

    def __init__(self, identity: Mapping[str, object], folder: Path | None = None) -> None:
        self._folder = (folder or cache_folder()) / sha256_of_record(dict(identity))[:32]
        self._segments: list[NDArray[Any]] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        for path in sorted(self._folder.glob("*.npy")):
            segment = _read_segment(path)
            if segment is not None:
                self._index(segment)

    def find(self, digest: str) -> NDArray[np.float32] | None:
        """Return the vector of a content, or None where it was never embedded."""
        place = self._places.get(bytes.fromhex(digest))
        return None if place is None else np.array(self._segments[place[0]]["vector"][place[1]])

    def add(self, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Keep new vectors, in memory and on disk; a disk that refuses costs the reuse, never the run."""
        if not vectors:
            return
        segment = _build_segment(vectors)
        self._index(segment)
        buffer = io.BytesIO()
        np.save(buffer, segment, allow_pickle=False)
        content = buffer.getvalue()
        try:
            write_bytes(self._folder / f"{sha256_of_bytes(content)}.npy", content)
        except OSError:
            return

    def _index(self, segment: NDArray[Any]) -> None:
        number = len(self._segments)
        self._segments.append(segment)
        for row, digest in enumerate(segment["digest"]):
            self._places.setdefault(digest.tobytes(), (number, row))


def clean(max_bytes: int = MAX_BYTES, folder: Path | None = None) -> int:
    """Delete the segments that went unused longest until `max_bytes` remain; return the bytes freed."""
    found = []
    for path in (folder or cache_folder()).glob("*/*.npy"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue  # another process cleans too
        found.append((status.st_mtime_ns, status.st_size, path))
    excess = sum(size for _, size, _ in found) - max_bytes
    freed = 0
    for _, size, path in sorted(found):
        if freed >= excess:
            break
        path.unlink(missing_ok=True)
        freed += size
    return freed


def _build_segment(vectors: Mapping[str, NDArray[np.float32]]) -> NDArray[Any]:
    width = len(next(iter(vectors.values())))
    layout = np.dtype([("digest", np.uint8, (DIGEST_BYTES,)), ("vector", np.float32, (width,))])
    segment = np.empty(len(vectors), dtype=layout)
    for row, (digest, vector) in enumerate(vectors.items()):
        segment["digest"][row] = np.frombuffer(bytes.fromhex(digest), dtype=np.uint8)
        segment["vector"][row] = vector
    return segment


def _read_segment(path: Path) -> NDArray[Any] | None:
    try:
        if sha256_of_file(path) != path.stem:
            path.unlink(missing_ok=True)
            return None
        os.utime(path)  # the time of last use decides what `clean` deletes first
        segment: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return segment if getattr(segment, "dtype", np.dtype(float)).names == ("digest", "vector") else None
