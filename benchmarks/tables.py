"""Validate, merge and check for leakage: a million rows, beside plain pandas.

    python -m benchmarks tables

900,000 earlier rows and 100,000 mined ones name 20,000 distinct small pictures (each row is its own, pictures
repeat), and 1,000 validation rows name 1,000 others. Ours is what `data_merge` does: both tables read and
validated, joined, every image and golden resolved, leakage excluded by content, for which every distinct
picture is decoded, written, read again, retention proven. The peer reads, checks cells by `.str`, asks
`os.path.exists` for each image, joins, writes, reads again, and knows leakage by path alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.timing import peak_mebibytes, seconds_of

EARLIER, MINED, HELD_OUT, PICTURES = 900_000, 100_000, 1_000, 20_000
LIGHT = "SolderLight"
KEY = ["input_path", "object_name"]


def draw(root: Path) -> None:
    """Write pictures and the three tables."""
    from PIL import Image

    from deft.workspace.rows import COLUMNS

    noise = np.random.default_rng(0)
    for number in range(PICTURES + HELD_OUT):
        folder = root / f"images/board_{number % 1000:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"C{number:06d}_{LIGHT}.jpg")
    for name, first, count, start, kinds in (
        ("earlier", 0, EARLIER, 0, PICTURES),
        ("mined", EARLIER, MINED, 0, PICTURES),
        ("held_out", 0, HELD_OUT, PICTURES, HELD_OUT),
    ):
        numbers = np.arange(first, first + count)
        shown = start + numbers % kinds
        boards = [f"images/board_{number % 1000:04d}" for number in shown]
        columns = {column: "" for column in COLUMNS} | {
            "input_path": boards,
            "golden_path": boards,
            "label": np.where(shown % 10 == 0, "bridge", "PASS"),
            "object_name": [f"C{number:06d}" for number in shown],
            "comp_name": numbers.astype(str),
            "project": "line_a",
        }
        pd.DataFrame(columns).to_csv(root / f"{name}.csv", index=False)


def ours(root: Path) -> None:
    """Do what data_merge does with two tables and a validation set."""
    from deft.stages.data_merge import require_retained, require_written
    from deft.workspace.image_columns import resolve_images
    from deft.workspace.leakage import Side, assert_disjoint, find_overlaps
    from deft.workspace.rows import COLUMNS, ImageLayout, read_table, write_table

    layout = ImageLayout((LIGHT,), ".jpg")
    before, mined = read_table(root / "earlier.csv"), read_table(root / "mined.csv")
    combined = pd.concat([before, mined], ignore_index=True)
    resolve_images(combined, root, layout)
    held_out = Side.of_table("validation", read_table(root / "held_out.csv"), root, layout)
    train = Side.of_table("train", combined, root, layout)
    assert_disjoint(find_overlaps([train, held_out], against="train"))
    table = write_table(root / "merged.csv", combined[list(COLUMNS)])
    require_retained(before, combined)
    require_written(table, combined)


def plain(root: Path) -> None:
    """Do the same by plain pandas; leakage by path."""
    before, mined, held_out = (
        pd.read_csv(root / f"{name}.csv", dtype=str, keep_default_na=False)
        for name in ("earlier", "mined", "held_out")
    )
    combined = pd.concat([before, mined], ignore_index=True)
    for column in ("input_path", "golden_path", "label", "object_name"):
        assert not (combined[column].str.strip() == "").any()
    for row in combined.itertuples(index=False):
        for folder in (row.input_path, row.golden_path):
            assert os.path.exists(os.path.join(root, folder, f"{row.object_name}_{LIGHT}.jpg"))
    combined.to_csv(root / "plain.csv", index=False)
    again = pd.read_csv(root / "plain.csv", dtype=str, keep_default_na=False)
    assert len(again) == len(combined)
    assert not len(again.merge(held_out[KEY].drop_duplicates(), on=KEY))


WORKS = {"validate, merge, leakage by content": ours, "pandas, leakage by path": plain}


def main() -> None:
    """Run each piece of work three times in turn, each in a process of its own."""
    if len(sys.argv) == 3:
        before = time.process_time()
        seconds = seconds_of(lambda: WORKS[sys.argv[1]](Path(sys.argv[2])))
        processor = time.process_time() - before
        print(f"| {sys.argv[1]} | {seconds:.1f} | {processor:.1f} | {peak_mebibytes()} |", flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder))
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
        print("| what | seconds | of processor | peak MiB |\n|---|---|---|---|", flush=True)
        for _ in range(3):
            for name in WORKS:
                subprocess.run([sys.executable, "-m", "benchmarks.tables", name, folder], check=True)


if __name__ == "__main__":
    main()
