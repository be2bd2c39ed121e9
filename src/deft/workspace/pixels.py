"""What a picture holds, apart from its name and encoding: a hash of its pixels and a small likeness."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from deft import files
from deft.progress import NullProgress, Progress
from deft.workspace.images import open_image

THUMBNAIL = 32
# Below this step between neighbouring cells the sign of a difference is noise of the encoder.
LEAST_STEP = 3
BLOCK, MOST_ERROR_OF_A_BLOCK = 4, 10


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture: sha256 of its RGB pixels and size, whether it is of one colour, its likeness."""

    pixels: str
    is_uniform: bool
    difference_hash: int
    thumbnail: npt.NDArray[np.uint8]


_REMEMBERED: dict[str, Picture] = {}
MOST_REMEMBERED = 65_536
AT_ONCE = 32  # a task of a pool costs as much memory as a picture


class PictureReader:
    """Decode each distinct file content once, whatever it is called.

    Files are hashed anew by every reader; what a content decodes to is remembered for the process.
    """

    def __init__(self) -> None:
        self._contents: dict[str, str] = {}
        self._pictures: dict[str, Picture] = {}

    def content(self, path: str) -> str:
        """Return the sha256 of the file's bytes."""
        if path not in self._contents:
            self._contents[path] = files.sha256_of_file(path)
        return self._contents[path]

    def picture(self, path: str) -> Picture:
        """Return the decoded picture; one that cannot be read is refused by name."""
        if not os.path.isfile(path):
            open_image(path)
        content = self.content(path)
        if content not in self._pictures:
            self._pictures[content] = _REMEMBERED.get(content) or _decoded(path, content)
        return self._pictures[content]

    def read_all(self, paths: Iterable[str], progress: Progress | None = None) -> None:
        """Read many pictures in two threads (decoding leaves the interpreter's lock)."""
        distinct = sorted(set(paths))
        with (
            (progress or NullProgress()).task("compare images", total=len(distinct), unit="image") as task,
            ThreadPoolExecutor(2) as pool,
        ):
            blocks = [distinct[at : at + AT_ONCE] for at in range(0, len(distinct), AT_ONCE)]
            for done in pool.map(self._read, blocks):
                task.advance(done)

    def _read(self, paths: Sequence[str]) -> int:
        for path in paths:
            self.picture(path)
        return len(paths)


def _decoded(path: str, content: str) -> Picture:
    """Decode a picture, and remember it if the file still holds the content that was hashed."""
    picture = read_picture(path)
    if files.sha256_of_file(path) == content:
        if len(_REMEMBERED) >= MOST_REMEMBERED:
            _REMEMBERED.clear()
        _REMEMBERED[content] = picture
    return picture


def read_picture(path: str) -> Picture:
    """Decode a picture as RGB and describe it: 64 bits of difference hash, a 32 x 32 grey thumbnail."""
    image = open_image(path)
    size = f"{image.width}x{image.height}:".encode()
    grey = image.convert("L")
    thumbnail = grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return Picture(
        pixels=hashlib.sha256(size + image.tobytes()).hexdigest(),
        is_uniform=image.getcolors(maxcolors=1) is not None,
        difference_hash=difference_hash(grey),
        thumbnail=np.asarray(thumbnail, dtype=np.uint8),
    )


def agree_at_full_size(one: str, other: str) -> bool:
    """Say whether two pictures agree in every block of 4 x 4 pixels, as far as a careful encoder keeps them.

    A defect of a few pixels is enough for a no. The second is resized where its size is another.
    """
    first, second = (open_image(path).convert("L") for path in (one, other))
    if second.size != first.size:
        second = second.resize(first.size, Image.Resampling.BILINEAR)
    blocks = (np.asarray(picture.reduce(BLOCK), dtype=np.int16) for picture in (first, second))
    return bool(np.abs(next(blocks) - next(blocks)).max() <= MOST_ERROR_OF_A_BLOCK)


def difference_hash(grey: Image.Image) -> int:
    """Return 64 bits: is a cell of an 8 x 9 grid clearly brighter than its left neighbour?"""
    cells = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    brighter = np.diff(cells, axis=1) > LEAST_STEP
    return int.from_bytes(np.packbits(brighter).tobytes(), "big")
