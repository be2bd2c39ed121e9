"""Golden and test folders with a table of labels, as a user brings them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deft.errors import InputRefused
from deft.workspace.importers.folders import import_folders
from deft.workspace.importers.folders_source import Columns
from deft.workspace.layout import Workspace
from deft.workspace.rows import PASS

BOARDS, PARTS = 20, 4
COLUMNS = Columns(board="board", defect="defect")


class Source:
    """Folders and table as a user brings them: 20 boards of 4 parts, the first of each defective."""

    def __init__(self, root: Path, *, extension: str = ".png", lights: tuple[str, ...] = ("",)) -> None:
        self.golden, self.test, self.labels = root / "golden", root / "test", root / "labels.csv"
        rng = np.random.default_rng(0)
        rows = []
        for board in range(BOARDS):
            golden = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            for part in range(PARTS):
                name = f"b{board:02d}_p{part}"
                for light in lights:
                    tested = np.clip(golden.astype(int) + rng.integers(-9, 9, golden.shape), 0, 255)
                    suffix = f"_{light}" if light else ""
                    save(self.golden / f"{name}{suffix}{extension}", golden)
                    save(self.test / f"{name}{suffix}{extension}", tested.astype(np.uint8))
                bad = part == 0
                defect = ("scratch", "missing")[board % 2] if bad else ""
                rows.append((f"{name}{extension}", "NG" if bad else PASS, f"board{board:02d}", defect))
        self.table = pd.DataFrame(rows, columns=["image", "label", "board", "defect"])
        self.write()

    def write(self) -> None:
        self.table.to_csv(self.labels, index=False)

    def import_into(self, root: Path, **options: Any) -> Workspace:
        import_folders(self.golden, self.test, self.labels, root, **{"columns": COLUMNS, **options})
        return Workspace.at(root)

    def refused(self, root: Path, match: str, **options: Any) -> InputRefused:
        with pytest.raises(InputRefused, match=match) as refusal:
            self.import_into(root, **options)
        assert not root.exists()
        return refusal.value


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
