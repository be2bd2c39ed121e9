"""Read DeepPCB as its authors publish it: `PCBData/group<G>/<G>/<id>_{temp,test}.jpg`, `<G>_not/<id>.txt`.

Black is copper. Boards without all three files are left out and counted (the full set has a few).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deft.errors import InputRefused
from deft.files import read_text
from deft.workspace.images import open_image
from deft.workspace.importers.conditions import WINDOW
from deft.workspace.importers.crops import BoardPair, Box, Mask

DEFECT_TYPES = ("open", "short", "mousebite", "spur", "copper", "pinhole")
COPPER_BELOW = 128


@dataclass(frozen=True)
class BoardFiles:
    """The three files of one board."""

    identifier: str
    group: str
    golden: Path
    test: Path
    annotation: Path


@dataclass(frozen=True)
class Source:
    """All complete boards of a copy of DeepPCB, sorted, and the incomplete ones by name."""

    boards: tuple[BoardFiles, ...]
    incomplete: tuple[str, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(sorted({board.group for board in self.boards}))


def find_boards(source: Path) -> Source:
    """List the boards below a folder that is `PCBData` or holds it; no board at all is refused."""
    root = source / "PCBData" if (source / "PCBData").is_dir() else source
    boards: list[BoardFiles] = []
    incomplete: list[str] = []
    for template in sorted(root.glob("group*/*/*_temp.jpg")):
        board = _files_of(template)
        if board.test.is_file() and board.annotation.is_file():
            boards.append(board)
        else:
            incomplete.append(board.identifier)
    if not boards:
        raise InputRefused(
            "no DeepPCB board found (group<G>/<G>/<id>_temp.jpg with _test.jpg and <G>_not/<id>.txt)",
            value=source,
            hint="name the folder that holds PCBData",
        )
    return Source(tuple(boards), tuple(incomplete))


def _files_of(template: Path) -> BoardFiles:
    folder, identifier = template.parent, template.name.removesuffix("_temp.jpg")
    annotation = folder.with_name(f"{folder.name}_not") / f"{identifier}.txt"
    return BoardFiles(identifier, folder.name, template, folder / f"{identifier}_test.jpg", annotation)


def read_board(board: BoardFiles) -> BoardPair:
    """Read one board as two maps of copper and its annotated boxes; unequal sizes are refused."""
    golden, test = _copper(board.golden), _copper(board.test)
    if golden.shape != test.shape:
        raise InputRefused(
            f"template and test differ in size ({golden.shape[::-1]} and {test.shape[::-1]})",
            value=board.test,
        )
    if min(golden.shape) < WINDOW:
        raise InputRefused(f"board is smaller than {WINDOW} pixels", value=board.golden)
    return BoardPair(f"b{board.identifier}", board.group, golden, test, read_boxes(board.annotation))


def _copper(path: Path) -> Mask:
    mask: Mask = np.asarray(open_image(path).convert("L")) < COPPER_BELOW
    return mask


def read_boxes(path: Path) -> tuple[Box, ...]:
    """Read `x1 y1 x2 y2 type` lines (types 1 to 6); any other line is refused by number."""
    return tuple(
        _parse_box(line, number, path)
        for number, line in enumerate(read_text(path).splitlines(), 1)
        if line.strip()
    )


def _parse_box(line: str, number: int, path: Path) -> Box:
    try:
        left, top, right, bottom, kind = (int(cell) for cell in line.replace(",", " ").split())
        if not (1 <= kind <= len(DEFECT_TYPES)):
            raise ValueError
    except ValueError:
        raise InputRefused(
            f"line {number} is not `x1 y1 x2 y2 type`, type 1 to {len(DEFECT_TYPES)} ({line[:60]!r})",
            value=path,
        ) from None
    return Box(left, top, right, bottom, DEFECT_TYPES[kind - 1])
