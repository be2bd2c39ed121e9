"""Whether the images that a shard's rows name still are what they were when it was done.

Size and time cost a thousandth of a hash and are looked at first. Where they differ the contents decide:
another mount of the same files may tell other times.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deft.embedding.encoders import Sample
from deft.files import sha256_of_file, sha256_of_record


def seen(samples: Sequence[Sample]) -> dict[str, str]:
    """Return what `changed` compares later."""
    return {"stamps": _digest(samples, _stamp), "contents": _digest(samples, sha256_of_file)}


def changed(samples: Sequence[Sample], before: Mapping[str, str]) -> bool:
    """Tell whether an image is another than `before`; a machine that has none of them cannot tell."""
    if not before or not any(os.path.exists(image) for sample in samples for image in _images(sample)):
        return False
    if _digest(samples, _stamp) == before.get("stamps"):
        return False
    return _digest(samples, sha256_of_file) != before.get("contents")


def _digest(samples: Sequence[Sample], look: Callable[[Path], object]) -> str:
    return sha256_of_record([[_looked(image, look) for image in _images(sample)] for sample in samples])


def _images(sample: Sample) -> tuple[str, ...]:
    return (*sample.images, *sample.goldens)


def _looked(image: str, look: Callable[[Path], object]) -> object:
    try:
        return look(Path(image))
    except OSError:
        return None


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
