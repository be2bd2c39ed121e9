"""One rule for every path that comes from data: it leads to a file beneath a root, or it is refused.

A root is the user's choice and may itself be a link (a dataset on another disk). What lies below it may hold
links too, as long as they stay inside. The rule is asked again at the moment of opening: the file is opened
beneath its root without following a link, so a link that is swapped in after the check is refused, not read.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from deft.errors import InputRefused
from deft.workspace.layout import Workspace

OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # a named pipe must not block
OPENAT2 = 437  # the same number on every architecture of Linux
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH = 0x02, 0x04, 0x08
NOT_AVAILABLE = (errno.ENOSYS, errno.EPERM, errno.E2BIG, errno.EINVAL)
HINT = "name a file below the folder of the data, without `..` and without a link that leads out of it"


def fault_of(name: str) -> str:
    """Return what is wrong with the text of a path from data, or nothing; it may be absolute."""
    if not name or "\0" in name:
        return "is empty or holds a NUL byte"
    if "\\" in name:
        return "holds a backslash"
    return "leads upwards by `..`" if ".." in name.split("/") else ""


def safe_path(root: Path, name: str) -> Path:
    """Return the path of a relative `name` beneath `root`; one that leads out of it is refused.

    The file need not exist. Links on the way are followed and must end beneath the root.
    """
    fault = fault_of(name) or ("is absolute" if name.startswith("/") else "")
    path = root / name
    if not fault and not Roots.of(root).hold(path):
        fault = f"leads out of {root}"
    if fault:
        raise InputRefused(f"path from data {fault}", value=ascii(name)[:200], hint=HINT)
    return path


@dataclass(frozen=True)
class Roots:
    """The folders, by their real paths, in which data may name files."""

    folders: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path | str) -> Roots:
        """Return one folder as a root; a workspace, which is told by its spec, with its data folders."""
        if _is_workspace(Path(folder)):
            return cls.of_workspace(Workspace(Path(folder)))
        return cls((os.path.realpath(folder),))

    @classmethod
    def of_workspace(cls, workspace: Workspace) -> Roots:
        """Return a workspace with the data folders that it may keep elsewhere."""
        places = (workspace.root, *workspace.data_folders)
        return cls(tuple(dict.fromkeys(map(os.path.realpath, places))))

    def hold(self, path: Path | str) -> bool:
        """Say whether a path, with every link followed, lies in one of the folders."""
        try:
            return self._holding(os.path.realpath(path)) is not None
        except (OSError, ValueError):
            return False

    def require(self, paths: Iterable[Path | str]) -> None:
        """Refuse the first path that leads out of the folders."""
        for path in paths:
            if not self.hold(path):
                raise _outside(path)

    def open(self, path: Path | str) -> BinaryIO:
        """Open a regular file for reading if it lies in one of the folders at this very moment."""
        real = os.path.realpath(path)
        root = self._holding(real)
        if root is None:
            raise _outside(path)
        try:
            descriptor = _open_beneath(root, os.path.relpath(real, root))
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EXDEV, errno.ENOTDIR, errno.EAGAIN):
                raise InputRefused("path changed while it was opened", value=path, hint=HINT) from None
            error.filename = str(path)
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise InputRefused("path leads to no regular file", value=path)
        return os.fdopen(descriptor, "rb")

    def read_for_copy(self, path: Path | str) -> bytes:
        """Read a file that is about to be copied; one that has a second name elsewhere is refused.

        A hard link cannot be told from the file it names, so a copy would carry away what lies outside.
        """
        with self.open(path) as stream:
            if os.fstat(stream.fileno()).st_nlink > 1:
                raise InputRefused(
                    "file has a second name (hard link) and is not copied",
                    value=path,
                    hint="make it a file of its own: cp FILE FILE.new && mv FILE.new FILE",
                )
            return stream.read()

    def _holding(self, real: str) -> str | None:
        return next((root for root in self.folders if is_below(real, root)), None)


def is_below(path: str, root: str) -> bool:
    """Say by spelling alone whether a path is a folder or lies in it."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def _outside(path: Path | str) -> InputRefused:
    return InputRefused("path leads out of the folder of the data", value=path, hint=HINT)


def _is_workspace(folder: Path) -> bool:
    """Tell a workspace by its spec; what looks like one inside another is data."""
    above = Path(os.path.abspath(folder)).parents
    return Workspace(folder).baseline_spec.is_file() and not any(
        Workspace(parent).baseline_spec.is_file() for parent in above
    )


# --- opening without links -------------------------------------------------------------------


class _OpenHow(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("flags", "mode", "resolve")]


def _open_beneath(root: str, relative: str) -> int:
    """Open a path below `root` of which no part may be a link."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if has_openat2():
            return _openat2(folder, relative)
        return _open_part_by_part(folder, relative)
    finally:
        os.close(folder)


@cache
def has_openat2() -> bool:
    """Say whether the kernel opens beneath a folder by itself (Linux 5.6, unless a sandbox forbids it)."""
    if not sys.platform.startswith("linux"):
        return False
    folder = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(_openat2(folder, "."))
    except OSError as error:
        if error.errno not in NOT_AVAILABLE:
            raise
        return False
    finally:
        os.close(folder)
    return True


def _openat2(folder: int, relative: str) -> int:
    how = _OpenHow(OPEN_FLAGS, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
    name = os.fsencode(relative)
    found = _libc().syscall(OPENAT2, folder, name, ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), relative)
    return int(found)


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _open_part_by_part(folder: int, relative: str) -> int:
    """Do the same where the kernel cannot: one part after the other, each beneath the one before."""
    *parents, name = relative.split("/")
    held = os.dup(folder)
    try:
        for part in parents:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=held)
            os.close(held)
            held = inner
        return os.open(name, OPEN_FLAGS | os.O_NOFOLLOW, dir_fd=held)
    finally:
        os.close(held)
