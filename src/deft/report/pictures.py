"""Pictures inside a report: re-encoded, small, as data addresses: the page needs no file beside it."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from deft.errors import InputRefused
from deft.workspace.images import open_image

THUMBNAIL = 96


def png_address(content: bytes) -> str:
    """Return PNG bytes as a data address."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def thumbnail(path: Path | str) -> str:
    """Return an image file as a small data address; one that cannot be read is an empty square."""
    try:
        picture = open_image(Path(path))
    except InputRefused:
        picture = Image.new("RGB", (THUMBNAIL, THUMBNAIL), "#dddddd")
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
    scaled = picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    scaled.save(buffer, format="JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
