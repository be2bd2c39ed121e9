"""A tiny folder in DeepPCB's layout: boards with tracks, defects drawn in, annotations beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 320
GROUPS = {"77000": 3, "50600": 3, "00041": 9}


def make_source(root: Path) -> Path:
    """Write the fabricated source and return the folder that holds `PCBData`."""
    rng = np.random.default_rng(0)
    for group, count in GROUPS.items():
        for number in range(count):
            make_board(rng, root / "PCBData" / f"group{group}", group, f"{group}{number:03d}")
    return root


def make_board(rng: np.random.Generator, folder: Path, group: str, identifier: str) -> None:
    """Write template, test and annotation of one board with one defect of each type but pin-hole twice."""
    golden = np.full((SIDE, SIDE), 255, np.uint8)
    shift = int(rng.integers(0, 12))
    for column in range(shift, SIDE, 40):
        golden[:, column : column + 18] = 0
    tested = golden.copy()
    lines = []
    for kind in (1, 2, 3, 4, 5, 6):
        top = 50 * kind - 25
        column = shift + 40 * int(rng.integers(1, 6))
        left, right, copper = {
            1: (column - 2, column + 20, False),
            2: (column + 16, column + 42, True),
            3: (column + 10, column + 20, False),
            4: (column + 16, column + 26, True),
            5: (column + 24, column + 34, True),
            6: (column + 5, column + 13, False),
        }[kind]
        tested[top : top + 9, left:right] = 0 if copper else 255
        lines.append(f"{left - 6} {top - 6} {right + 6} {top + 15} {kind}")
    write(folder / group / f"{identifier}_temp.jpg", golden)
    write(folder / group / f"{identifier}_test.jpg", tested)
    notes = folder / f"{group}_not" / f"{identifier}.txt"
    notes.parent.mkdir(parents=True, exist_ok=True)
    notes.write_text("\n".join(lines) + "\n")


def write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, quality=95)
