"""Pictures inside a report: re-encoded, small, as data addresses: the page needs no file beside it."""

from __future__ import annotations

import base64
import io
import pickle
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from PIL import Image

from deft import files
from deft.errors import InputRefused
from deft.workspace.images import open_image

THUMBNAIL = 96
MOST_REMEMBERED = 32
MOST_THUMBNAILS = 1_024
_DRAWN: dict[str, str] = {}


def png_address(content: bytes) -> str:
    """Return PNG bytes as a data address."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def drawn(draw: Callable[..., bytes], *data: object, **options: object) -> str:
    """Return a chart as a data address; the last ones are remembered, as a report is rendered every stage."""
    key = files.sha256_of_bytes(pickle.dumps((draw.__qualname__, data, options)))
    if key not in _DRAWN:
        if len(_DRAWN) >= MOST_REMEMBERED:
            _DRAWN.clear()
        _DRAWN[key] = png_address(draw(*data, **options))
    return _DRAWN[key]


def thumbnail(path: Path | str) -> str:
    """Return an image file as a small data address; one that cannot be read is an empty square."""
    return _thumbnail(str(path), files.look_of(path))


@lru_cache(MOST_THUMBNAILS)
def _thumbnail(path: str, _: tuple[int, ...]) -> str:
    try:
        picture = open_image(path)
    except InputRefused:
        picture = Image.new("RGB", (THUMBNAIL, THUMBNAIL), "#dddddd")
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
    scaled = picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    scaled.save(buffer, format="JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
