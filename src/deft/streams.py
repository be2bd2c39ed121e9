"""Files too large to hold in memory: written piece by piece, durable before anybody counts on them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from deft.files import make_folder, sync_folder


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a stream whose bytes replace `path` in one step when the block ends; nothing if it fails."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            yield stream
            _settle(stream)
        os.replace(temporary, path)
    except BaseException as error:
        _give_up(temporary, error, path)
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def creating(path: Path) -> Iterator[IO[bytes]]:
    """Open a stream to a file that must not exist yet; FileExistsError if it does.

    The file is there from the first byte on and durable when the block ends; it goes if the block fails.
    """
    make_folder(path.parent)
    with open(path, "xb") as stream:
        try:
            yield stream
            _settle(stream)
        except BaseException as error:
            _give_up(path, error, path)
            raise
    sync_folder(path.parent)


def _settle(stream: IO[bytes]) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _give_up(path: Path, error: BaseException, named: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    if isinstance(error, OSError) and error.errno is not None:
        error.filename = str(named)


def publish_first(written: Path, path: Path) -> bool:
    """Give a durable file the name `path` as well, unless that is taken; say whether it was free.

    Of several that try at once, on one machine or on a shared file system, exactly one succeeds.
    """
    try:
        os.link(written, path)
    except FileExistsError:
        return False
    sync_folder(path.parent)
    return True


def copy(source: Path, destination: Path) -> Path:
    """Copy a file of any size in one step."""
    with open(source, "rb") as read, replacing(destination) as written:
        shutil.copyfileobj(read, written, 2**20)
    return destination
