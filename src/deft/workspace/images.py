"""Open images that a stranger may have made: four formats, caps on pixels and memory, nothing half read."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from deft.errors import InputRefused
from deft.workspace.safe_path import Roots

FORMATS = ("JPEG", "PNG", "BMP", "TIFF")
MAX_PIXELS = 64_000_000
MAX_BYTES = 288 * 1024 * 1024
MAX_PASSES = 1_000_000_000  # pixels times scans: a progressive JPEG may go over its picture many times
SCAN = b"\xff\xda"
DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")
ONE_BYTE_MODES = ("1", "L", "P")

# What Pillow only warns of is refused here, in every thread: a warning that is printed stops nothing.
warnings.simplefilter("error", Image.DecompressionBombWarning)

_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    LookupError,
    TypeError,
    OverflowError,
)


def open_image(path: Path | str, within: Roots | None = None) -> Image.Image:
    """Read one image whole, as 8-bit RGB with the first frame's pixels as stored (EXIF is ignored).

    With `within`, a file that lies outside at the moment of opening is not read. Raises InputRefused, naming
    the file, for anything that is missing, truncated, not a JPEG, PNG, BMP or TIFF, larger than `MAX_PIXELS`
    pixels, deeper than 8 bits a channel, or that would take more than `MAX_BYTES` of memory to decode.
    """
    path = Path(path)
    if not path.is_file():
        raise InputRefused("image does not exist", value=path)
    return _read(lambda: within.open(path) if within else open(path, "rb"), path)


def image_of(content: bytes, path: Path) -> Image.Image:
    """Read one image whole from the bytes of a file, with the refusals of `open_image`."""
    return _read(lambda: io.BytesIO(content), path)


def _read(opened: Callable[[], BinaryIO], path: Path) -> Image.Image:
    try:
        with opened() as stream, Image.open(stream, formats=FORMATS) as image:
            _require_acceptable(image, stream, path)
            return _as_rgb(image)
    except _TOO_LARGE:
        raise _too_large(path) from None
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()).replace(str(path), "file")[:200]
        raise InputRefused(
            f"image cannot be read ({reason or type(error).__name__})",
            value=path,
            hint=f"replace it by a whole {', '.join(FORMATS)} file or remove its row",
        ) from None


def _require_acceptable(image: Image.Image, stream: BinaryIO, path: Path) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(path)
    if image.mode in DEEP_MODES:
        raise InputRefused(
            f"image has mode {image.mode}, deeper than 8 bits a channel",
            value=path,
            hint="convert it to 8 bits; the scaling is a choice this package does not make for you",
        )
    if image.format == "PNG" and getattr(image, "is_animated", False):
        raise InputRefused("image is animated", value=path, hint="save the one frame that was inspected")
    _require_few_scans(image, stream, path)
    needed = image.width * image.height * _bytes_a_pixel(image)
    if image.format != "BMP":  # the others may keep every byte of their metadata
        needed += _size(stream)
    if needed > MAX_BYTES:
        raise InputRefused(
            f"image needs {needed // 2**20} MiB to decode, {MAX_BYTES // 2**20} may be used",
            value=path,
            hint="crop the component out of the board picture first, or save it as a plain RGB file",
        )


def _require_few_scans(image: Image.Image, stream: BinaryIO, path: Path) -> None:
    if image.format != "JPEG" or _size(stream) > MAX_BYTES:
        return
    place = stream.tell()
    stream.seek(0)
    scans = stream.read().count(SCAN)
    stream.seek(place)
    if scans > 4 and image.width * image.height * scans > MAX_PASSES:
        raise InputRefused(f"image has {scans} scans", value=path, hint="save it again as a plain JPEG")


def _size(stream: BinaryIO) -> int:
    place = stream.tell()
    size = stream.seek(0, os.SEEK_END)
    stream.seek(place)
    return size


def _bytes_a_pixel(image: Image.Image) -> int:
    """Return what decoding holds at once: the pixels as stored, their RGB copy, the decoder's own buffers."""
    stored = 1 if image.mode in ONE_BYTE_MODES else 4
    copies = 0 if image.mode == "RGB" else 4
    if image.mode == "P" and "transparency" in image.info:
        copies += 4
    if image.format == "JPEG" and image.info.get("progressive"):
        copies += 2 * len(image.getbands())  # libjpeg keeps all coefficients until the last scan
    if image.format == "TIFF":
        copies += len(image.getbands())  # one strip may be the whole picture
    return stored + copies


def _too_large(path: Path) -> InputRefused:
    return InputRefused(
        f"image has more than {MAX_PIXELS // 1_000_000} million pixels",
        value=path,
        hint="crop the component out of the board picture first",
    )


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        image.load()
        return image
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns about a direct conversion
    return image.convert("RGB")


def read_pixels(
    paths: Sequence[Path | str], *, width: int, height: int, within: Roots | None = None
) -> npt.NDArray[np.uint8]:
    """Read images into one array (n, height, width, 3) of 8-bit RGB, decoding on all cores.

    An image of another size is resized (bilinear, antialiased). Costs `3 * width * height` bytes an image.
    """
    pixels = np.empty((len(paths), height, width, 3), np.uint8)

    def fill(position: int) -> None:
        pixels[position] = read_resized(paths[position], width=width, height=height, within=within)

    with ThreadPoolExecutor() as executor:
        for _ in executor.map(fill, range(len(paths))):
            pass
    return pixels


def read_resized(
    path: Path | str, *, width: int, height: int, within: Roots | None = None
) -> npt.NDArray[np.uint8]:
    """Read one image as 8-bit RGB (height, width, 3); another size is resized (bilinear, antialiased)."""
    image = open_image(path, within)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)
