"""Vectors kept by the content of what was embedded, so that an iteration embeds only what is new.

One folder an encoder component, named by the hash of its identity; in it segments, each written once in one
step and named by the hash of its own bytes. Two processes never write the same name with different bytes, so
no lock is needed, and a damaged segment is recognised and dropped. Only digests stay in memory; a vector is
read when it is asked for.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deft.files import sha256_of_bytes, sha256_of_record, write_bytes
from deft.workspace.layout import cache_home

MAX_BYTES = 4 * 1024**3
DIGEST_BYTES = 32
MOST_ROWS = 2**32
"""Of a segment: a place is one number, the segment's times this plus the row."""


def cache_folder() -> Path:
    """Return the folder of all embedding caches of this user."""
    return cache_home() / "embeddings"


class VectorCache:
    """The vectors that one encoder component has already computed, by content digest (64 hex digits)."""

    def __init__(self, identity: Mapping[str, object], folder: Path | None = None) -> None:
        self._folder = (folder or cache_folder()) / sha256_of_record(dict(identity))[:32]
        self._segments: list[_Segment] = []
        self._places: dict[bytes, int] = {}
        for path in sorted(self._folder.glob("*.npy")):
            found = _read_segment(path)
            if found is not None:
                self._index(*found)

    def find(self, digest: str) -> NDArray[np.float32] | None:
        """Return the vector of a content, or None where it was never embedded or was cleaned away since."""
        place = self._places.get(bytes.fromhex(digest))
        if place is None:
            return None
        record = self._segments[place // MOST_ROWS].record(place % MOST_ROWS)
        known = record is not None and record["digest"].tobytes() == bytes.fromhex(digest)
        return np.array(record["vector"]) if known else None

    def add(self, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Keep new vectors, on disk or, where the disk refuses, in memory; that never costs the run."""
        if not vectors:
            return
        segment = _build_segment(vectors)
        buffer = io.BytesIO()
        np.save(buffer, segment, allow_pickle=False)
        content = buffer.getvalue()
        path = self._folder / f"{sha256_of_bytes(content)}.npy"
        try:
            write_bytes(path, content)
        except OSError:
            self._index(segment["digest"], _InMemory(segment))
        else:
            self._index(segment["digest"], _OnDisk(path, segment.dtype, len(content) - segment.nbytes))

    def _index(self, digests: NDArray[Any], segment: _Segment) -> None:
        first = len(self._segments) * MOST_ROWS
        self._segments.append(segment)
        for row, digest in enumerate(digests):
            self._places[digest.tobytes()] = first + row


class _Segment(Protocol):
    """Vectors that were kept together."""

    def record(self, row: int) -> Any:
        """Return one row with its digest, None where it can be read no more."""


@dataclass(frozen=True)
class _InMemory:
    """A segment that no disk took."""

    rows: NDArray[Any]

    def record(self, row: int) -> Any:
        return self.rows[row]


@dataclass(frozen=True)
class _OnDisk:
    """A segment in a file, which is opened for each row: mapped, it would fill memory and hold a descriptor.

    A file that another machine deletes is an error here that can be caught; under a mapping it ends the run.
    """

    path: Path
    layout: np.dtype[Any]
    offset: int

    def record(self, row: int) -> Any:
        size = self.layout.itemsize
        try:
            with open(self.path, "rb", buffering=0) as stream:
                content = os.pread(stream.fileno(), size, self.offset + row * size)
        except OSError:
            return None
        return np.frombuffer(content, self.layout)[0] if len(content) == size else None


def clean(max_bytes: int = MAX_BYTES, folder: Path | None = None) -> int:
    """Delete the segments that went unused longest until `max_bytes` remain; return the bytes freed."""
    found = []
    for path in (folder or cache_folder()).glob("*/*.npy"):
        try:
            status = path.stat()
        except OSError:
            continue  # another process cleans too
        found.append((status.st_mtime_ns, status.st_size, path))
    excess = sum(size for _, size, _ in found) - max_bytes
    freed = 0
    for _, size, path in sorted(found):
        if freed >= excess:
            break
        with contextlib.suppress(OSError):
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


def _read_segment(path: Path) -> tuple[NDArray[Any], _OnDisk] | None:
    """Return the digests of a whole segment and where their vectors stand."""
    try:
        content = path.read_bytes()
        if sha256_of_bytes(content) != path.stem:
            path.unlink(missing_ok=True)
            return None
        os.utime(path)  # the time of last use decides what `clean` deletes first
        segment: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if segment.dtype.names != ("digest", "vector"):
        return None
    return segment["digest"].copy(), _OnDisk(path, segment.dtype, len(content) - segment.nbytes)
