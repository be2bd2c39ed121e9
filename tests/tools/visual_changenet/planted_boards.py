"""Tiny pairs whose defect is a planted bright or dark square."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

SIZE = 32


def draw_board(seed: int, *, defect: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return a golden of coarse blocks and its test image: noisy, and with a 6-pixel square if defective."""
    random = np.random.default_rng(seed)
    blocks = random.integers(60, 180, (4, 4, 3))
    golden = np.kron(blocks, np.ones((SIZE // 4, SIZE // 4, 1)))
    test = golden * random.uniform(0.9, 1.1) + random.normal(0, 4, golden.shape)
    if defect:
        row, column = random.integers(2, SIZE - 8, 2)
        test[row : row + 6, column : column + 6] = 255 * (golden[row, column] < 120)
    return golden.astype(np.uint8), test.clip(0, 255).astype(np.uint8)


def write_split(
    root: Path, name: str, rows: int, *, lights: tuple[str, ...] = (), first_seed: int = 0
) -> Path:
    """Write a split of which every third row is a defect; return its table."""
    records = []
    for i in range(rows):
        label = "bridge" if i % 3 == 0 else "PASS"
        for j, light in enumerate(lights or ("",)):
            golden, test = draw_board(first_seed + 100 * j + i, defect=label != "PASS")
            for side, image in (("golden", golden), (name, test)):
                path = root / "images" / side / f"{name}{i:03d}{'_' + light if light else ''}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path)
        records.append(
            {"input_path": name, "golden_path": "golden", "label": label, "object_name": f"{name}{i:03d}"}
        )
    table = root / f"{name}.csv"
    pd.DataFrame(records).to_csv(table, index=False)
    return table
