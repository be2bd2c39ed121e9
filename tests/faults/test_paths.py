"""No path from data, and no link swapped in at the last moment, reaches a byte outside the workspace."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from deft import files
from deft.errors import InputRefused
from deft.workspace import safe_path as module
from deft.workspace.image_columns import resolve_images
from deft.workspace.images import open_image
from deft.workspace.rows import COLUMNS, ImageLayout, read_table, write_table
from deft.workspace.safe_path import Roots, safe_path

PATHS, SWAPS, ATTEMPTS = 10_000, 10_000, 200_000
SECRET = b"a byte that must not be read"
INSIDE, OUTSIDE = (10, 20, 30), (200, 100, 50)
WORDS = (
    "in",
    "a",
    "b",
    "deep",
    ".",
    "..",
    "...",
    "",
    " ",
    "%2e%2e",
    "..%2f",
    "‥",
    "．．",
    "~",
    "C:",
    "results",
)
JOINTS = ("/", "/", "/", "//", "\\", "/./", "/../", "\0", "\\..\\", "/\u2215")
STARTS = (
    "",
    "",
    "",
    "/",
    "//",
    "../",
    "../../",
    "/results/",
    "/proc/self/" + "root/",
    "file://",
    "~/",
    "\\\\host\\",
)
LINKS = ("out", "up", "loop", "chain", "stay", "to_file", "proc")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a workspace with links of every kind; a folder with canaries lies beside it."""
    root, canary = tmp_path / "workspace", tmp_path / "canary"
    for folder in (root / "in" / "deep", root / "a" / "b", canary / "in", canary / "a"):
        folder.mkdir(parents=True)
    for name in ("in/secret", "secret", "a/b"):
        (canary / name).write_bytes(SECRET)
    for name in ("in/C1.png", "C1.png"):
        Image.new("RGB", (2, 2), OUTSIDE).save(canary / name)
    for name in ("in/file", "in/deep/file", "a/b/file", "file"):
        (root / name).write_bytes(b"inside")
    targets = (canary, "..", "loop", "out/in", "in", canary / "secret", "/proc/self/root")
    for name, target in zip(LINKS, targets, strict=True):
        (root / name).symlink_to(target)
    return root


@pytest.fixture
def canary(tree: Path) -> Iterator[Callable[[], dict[str, tuple[int, int, bytes]]]]:
    """Compare the canaries, inode by inode and byte by byte, before and after the test."""

    def now() -> dict[str, tuple[int, int, bytes]]:
        found = sorted((tree.parent / "canary").rglob("*"))
        status = {str(path): path.lstat() for path in found}
        return {
            name: (one.st_ino, one.st_mtime_ns, Path(name).read_bytes() if Path(name).is_file() else b"")
            for name, one in status.items()
        }

    before = now()
    yield now
    assert now() == before


def names(seed: int) -> Iterator[str]:
    """Yield paths of a small grammar: what attackers write, mixed with what is true."""
    rng = random.Random(seed)
    while True:
        parts = [
            rng.choice((*WORDS, *LINKS, "file", "secret", "canary", "etc/passwd"))
            for _ in range(rng.randint(1, 6))
        ]
        joined = "".join(itertools.chain.from_iterable((part, rng.choice(JOINTS)) for part in parts[:-1]))
        yield rng.choice(STARTS) + joined + parts[-1]


def test_no_generated_path_is_read_or_written_outside_the_workspace(
    tree: Path, canary: object, figure: Callable[[str, str, str], None]
) -> None:
    roots, real = Roots.of(tree), os.path.realpath(tree)
    read, written, refused = 0, 0, 0
    for name in itertools.islice(names(1), PATHS):
        try:
            path = safe_path(tree, name)
        except InputRefused:
            refused += 1
            # a reader that is given the joined path all the same reads nothing outside either
            with (
                contextlib.suppress(InputRefused, OSError, ValueError),
                roots.open(os.path.join(tree, name)) as stream,
            ):
                assert stream.read() == b"inside", name
            continue
        assert os.path.realpath(path).startswith(real), name
        with contextlib.suppress(InputRefused, OSError), roots.open(path) as stream:
            assert stream.read() == b"inside", name
            read += 1
        with contextlib.suppress(OSError):
            files.write_bytes(path, b"inside")
            written += 1
    assert min(read, written, refused) > 100
    figure(
        "10,000 generated paths",
        "0 bytes outside the workspace",
        f"{PATHS:,} paths: {refused:,} refused, {read:,} read, {written:,} written, canaries unchanged",
    )


def test_no_generated_cell_of_a_table_resolves_outside_the_images(tree: Path, canary: object) -> None:
    layout, found = ImageLayout(extension=".png"), 0
    for name in ("in/C1.png", "a/b/C1.png"):
        Image.new("RGB", (2, 2), INSIDE).save(tree / name)
    for cell in itertools.islice(names(2), 1500):
        row = dict.fromkeys(COLUMNS, "") | {"golden_path": "in", "label": "PASS", "object_name": "C1"}
        table = write_table(tree.parent / "rows.csv", pd.DataFrame([row | {"input_path": cell}]))
        try:
            rows = read_table(table)
            resolve_images(rows, tree, layout)
        except InputRefused:
            continue
        for image in layout.column_paths(rows, tree, "input_path")[0]:
            assert open_image(image, Roots.of(tree)).getpixel((0, 0)) == INSIDE, cell
            found += 1
    assert found > 3


# Each ends when its standard input does, and says how often it did its work.
SWAPPING = """
import os, select, sys
place, kept, link, least = *sys.argv[1:4], int(sys.argv[4])
swaps = 0
while swaps < least or not select.select([0], [], [], 0)[0]:
    for one, other in ((place, kept), (link, place), (place, link), (kept, place)):
        os.rename(one, other)
    swaps += 1
print(swaps)
"""
PLANTING = """
import contextlib, os, select, sys
target, *places = sys.argv[1:]
planted = 0
while not select.select([0], [], [], 0)[0]:
    for place in places:
        with contextlib.suppress(OSError):
            os.symlink(target, place)
            planted += 1
print(planted)
"""


@contextlib.contextmanager
def beside(program: str, *arguments: object) -> Iterator[Callable[[], int]]:
    """Run a small program in a process of its own; the answer ends it and returns what it counted."""
    command = [sys.executable, "-I", "-S", "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield lambda: int(process.communicate()[0])


@pytest.mark.parametrize("opening", ["openat2", "part by part"])
@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_link_that_is_swapped_in_while_images_are_read_is_never_followed(
    tree: Path,
    canary: object,
    place: str,
    opening: str,
    monkeypatch: pytest.MonkeyPatch,
    figure: Callable[[str, str, str], None],
) -> None:
    if opening == "openat2" and not module.has_openat2():
        pytest.skip("this kernel has no openat2")
    monkeypatch.setattr(module, "has_openat2", lambda: opening == "openat2")
    inner, outer = tree / "pictures", tree.parent / "others"
    for folder, colour in ((inner, INSIDE), (outer, OUTSIDE)):
        folder.mkdir()
        Image.new("RGB", (2, 2), colour).save(folder / "C1.png")
    swapped, target = (inner / "C1.png", outer / "C1.png") if place == "file" else (inner, outer)
    link = swapped.with_name("link")
    link.symlink_to(target)
    roots, pixels, refused = Roots.of(tree), [], 0
    with beside(SWAPPING, swapped, swapped.with_name("kept"), link, SWAPS) as end:
        while min(len(pixels), refused) < 2_000 and len(pixels) + refused < ATTEMPTS:
            try:
                pixels.append(open_image(inner / "C1.png", roots).getpixel((0, 0)))
            except InputRefused:
                refused += 1
        swaps = end()
    assert set(pixels) == {INSIDE}
    assert refused >= 2_000
    figure(
        f"symlink race, {place}, {opening}",
        "0 bytes from outside of 10,000 swaps",
        f"{swaps:,} swaps, {len(pixels):,} reads inside, {refused:,} refused, 0 outside",
    )


def test_a_link_that_is_swapped_in_while_files_are_written_is_never_followed(
    tree: Path, canary: object, figure: Callable[[str, str, str], None]
) -> None:
    target = tree.parent / "canary" / "secret"
    temporary = tree / "in" / f".out.{os.getpid()}.tmp"
    written = refused = 0
    with beside(PLANTING, target, *[tree / "in" / "out"] * 50, temporary) as end:
        while written < 2_000 and written + refused < ATTEMPTS:
            try:
                files.write_bytes(tree / "in" / "out", b"inside")
                written += 1
            except OSError:
                refused += 1
        planted = end()
    assert min(written, planted) >= 200
    figure(
        "links planted where files are written",
        "0 bytes outside",
        f"{planted:,} links, {written:,} writes, {refused:,} refused, canaries unchanged",
    )


def test_a_record_with_a_second_name_is_not_appended_to(tree: Path, canary: object) -> None:
    os.link(tree.parent / "canary" / "secret", tree / "log")
    with pytest.raises(InputRefused, match="second name"):
        files.append_line(tree / "log", b"line\n")
