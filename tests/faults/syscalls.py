"""A shim between the package and the kernel: it records every call that changes a file, and can break one.

It stands where Python meets the kernel (`os` and `open`), so that whatever writes through them is seen:
`deft.files`, `pathlib`, `shutil`, `filelock`, Pillow. What writes from C (pyarrow, torch) does so into memory
in this package, and reaches the disk through `deft.files`. That nothing passes by the shim is proved by
replaying a trace: the tree it makes must be the tree on disk.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PACKAGE = str(Path(__file__).resolve().parents[2] / "src" / "deft")
WRITING = os.O_WRONLY | os.O_RDWR
Site = tuple[str, int]


@dataclass(frozen=True)
class Call:
    """One system call: what it does to which file; for a write the bytes and where they go.

    `sites` are the lines of the package that led to it. A call that changed nothing has `failed`.
    """

    kind: str
    path: str
    target: str = ""
    offset: int = 0
    data: bytes = b""
    sites: tuple[Site, ...] = ()
    failed: bool = field(default=False, compare=False)


Before = Callable[[int, Call, Callable[[bytes], object] | None], None]


class Shim:
    """Sees the calls below some folders; `before` is asked before each and may raise or kill."""

    def __init__(self, *roots: Path, before: Before | None = None, keep: bool = False) -> None:
        self.roots = tuple(str(root) for root in roots)
        self.before, self.keep = before, keep
        self.calls: list[Call] = []
        self.count = 0

    def sees(self, path: str) -> bool:
        """Say whether a path lies below one of the folders."""
        return any(path == root or path.startswith(root + "/") for root in self.roots)

    def pass_through(
        self,
        kind: str,
        path: str,
        perform: Callable[[], Any],
        *,
        part: Callable[[bytes], object] | None = None,
        **more: Any,
    ) -> Any:
        """Let one call happen, recorded, unless `before` breaks it."""
        if not self.sees(path):
            return perform()
        call = Call(kind, path, **more)
        number, self.count = self.count, self.count + 1
        if self.before is not None:
            self.before(number, call, part)
        if not self.keep:
            return perform()
        position = len(self.calls)
        self.calls.append(call)
        self.calls[position] = recorded = Call(kind, path, **more, sites=_sites())
        try:
            return perform()
        except OSError:
            self.calls[position] = Call(kind, path, **more, sites=recorded.sites, failed=True)
            raise


def _sites() -> tuple[Site, ...]:
    """Return the package's lines on the stack, the innermost first."""
    found: list[Site] = []
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(PACKAGE):
            found.append((name[len(PACKAGE) + 1 :], frame.f_lineno))
        frame = frame.f_back  # type: ignore[assignment]
    return tuple(found)


@contextmanager
def installed(shim: Shim) -> Iterator[Shim]:
    """Put the shim between this process and the kernel, and take it away again."""
    kept = {(module, name): getattr(module, name) for module, name in _PLACES}
    real = {name: value for (module, name), value in kept.items() if module is os}
    replacements = _replacements(shim, real)
    opening = _opening(shim, kept[builtins, "open"], real)
    try:
        for name, function in replacements.items():
            setattr(os, name, function)
        builtins.open = opening  # type: ignore[assignment]
        io.open = opening  # type: ignore[assignment]
        yield shim
    finally:
        for (module, name), value in kept.items():
            setattr(module, name, value)


_NAMES = (
    *("open", "write", "fsync", "fdatasync", "sync", "ftruncate", "sendfile"),
    *("replace", "rename", "link", "symlink", "unlink", "remove", "mkdir", "rmdir"),
)
_PLACES = (*((os, name) for name in _NAMES), (builtins, "open"), (io, "open"))


def path_of(descriptor: int) -> str:
    """Return the path that a descriptor stands for now."""
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _absolute(path: Any, dir_fd: int | None = None) -> str:
    name = os.fspath(path)
    text = name.decode() if isinstance(name, bytes) else str(name)
    if os.path.isabs(text):
        return text
    return os.path.join(path_of(dir_fd) if dir_fd is not None else os.getcwd(), text)


def _replacements(shim: Shim, real: dict[str, Any]) -> dict[str, Callable[..., Any]]:
    def synced(descriptor: int) -> None:
        shim.pass_through("fsync", path_of(descriptor), lambda: None)  # a killed process loses no cache

    def shortened(descriptor: int, length: int) -> None:
        def perform() -> None:
            real["ftruncate"](descriptor, length)

        shim.pass_through("truncate", path_of(descriptor), perform, offset=length)

    def not_in_the_kernel(*arguments: Any) -> int:
        raise OSError(errno.EINVAL, "copied by reading and writing instead")

    return {
        "open": _opened(shim, real["open"]),
        "write": lambda descriptor, data: _write(shim, real["write"], descriptor, data),
        "fsync": synced,
        "fdatasync": synced,
        "sync": lambda: shim.pass_through("sync", shim.roots[0], lambda: None),
        "ftruncate": shortened,
        "sendfile": not_in_the_kernel,
        **{name: _moving(shim, kind, real[name]) for name, kind in MOVING.items()},
        **{name: _named(shim, kind, real[name]) for name, kind in NAMED.items()},
    }


MOVING = {"replace": "rename", "rename": "rename", "link": "link", "symlink": "symlink"}
NAMED = {"unlink": "unlink", "remove": "unlink", "mkdir": "mkdir", "rmdir": "rmdir"}


def _opened(shim: Shim, real: Callable[..., int]) -> Callable[..., int]:
    def opened(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        def perform() -> int:
            return real(path, flags, mode, dir_fd=dir_fd)

        if not flags & WRITING:
            return perform()
        place = _absolute(path, dir_fd)
        if not os.path.lexists(place):
            return int(shim.pass_through("create", place, perform))
        if flags & os.O_TRUNC and not flags & os.O_EXCL:
            return int(shim.pass_through("truncate", place, perform))
        return perform()  # opens what is there and changes nothing

    return opened


def _named(shim: Shim, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(path: Any, *more: Any, dir_fd: int | None = None, **options: Any) -> Any:
        if dir_fd is not None:
            options["dir_fd"] = dir_fd
        return shim.pass_through(kind, _absolute(path, dir_fd), lambda: function(path, *more, **options))

    return call


def _moving(shim: Shim, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(source: Any, target: Any, *more: Any, **options: Any) -> Any:
        def perform() -> Any:
            return function(source, target, *more, **options)

        if kind == "symlink":
            return shim.pass_through(kind, _absolute(target), perform, target=os.fspath(source))
        return shim.pass_through(kind, _absolute(source), perform, target=_absolute(target))

    return call


def _write(shim: Shim, write: Callable[[int, Any], int], descriptor: int, data: Any) -> int:
    place = path_of(descriptor)
    if not shim.sees(place):
        return write(descriptor, data)
    content = bytes(data)
    return int(
        shim.pass_through(
            "write",
            place,
            lambda: write(descriptor, content),
            part=lambda some: write(descriptor, some),
            offset=_position(descriptor),
            data=content,
        )
    )


def _position(descriptor: int) -> int:
    import fcntl

    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
        return os.fstat(descriptor).st_size
    return os.lseek(descriptor, 0, os.SEEK_CUR)


def _opening(shim: Shim, real: Callable[..., Any], calls: dict[str, Any]) -> Callable[..., Any]:
    """Return an `open` whose writing files pass through the shim."""

    class Traced(io.FileIO):
        def write(self, data: Any) -> int:
            return _write(shim, calls["write"], self.fileno(), data)

        def truncate(self, size: int | None = None) -> int:
            length = self.tell() if size is None else size
            os.ftruncate(self.fileno(), length)
            return length

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags, 0o666)

    def traced_open(
        file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None,
        newline: Any = None, closefd: bool = True, opener_: Any = None,
    ) -> Any:  # fmt: skip
        place = path_of(file) if isinstance(file, int) else _absolute(file)
        if not set(mode) & set("wax+") or not shim.sees(place):
            return real(file, mode, buffering, encoding, errors, newline, closefd)
        plain = mode.replace("b", "").replace("t", "")
        raw = Traced(file, plain, closefd=closefd, opener=None if isinstance(file, int) else opener)
        if buffering == 0:
            return raw
        buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding, errors, newline)

    return traced_open
