"""A workspace of 8-pixel images for tests: every split, a pool, pre-generated pairs, one light."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from deft import files
from deft.workspace.layout import Workspace
from deft.workspace.rows import COLUMNS, PASS, write_table

DEFECTS = ("bridge", "missing", "shift")
LIGHT = "SolderLight"
ONE_LIGHT = (LIGHT,)
SIZES = {"train": (24, 1), "validation": (20, 3), "kpi": (30, 5), "holdout": (20, 3), "pool": (30, 8)}


def make_workspace(
    root: Path,
    *,
    seed: int = 0,
    pairs: int = 6,
    sizes: dict | None = None,
    lights: tuple[str, ...] = ONE_LIGHT,
) -> Workspace:
    """Make a workspace; sizes are (PASS rows, rows of each defect type); training lacks the last type."""
    root.mkdir(parents=True)
    workspace = Workspace(root.resolve())
    rng = np.random.default_rng(seed)
    for split, (passing, defects) in {**SIZES, **(sizes or {})}.items():
        _write_split(workspace, rng, split, passing, defects, lights)
    _write_pairs(workspace, rng, pairs)
    _write_spec(workspace, lights)
    return workspace


def _write_split(
    workspace: Workspace,
    rng: np.random.Generator,
    split: str,
    passing: int,
    defects: int,
    lights: tuple[str, ...],
) -> None:
    table, images = {
        "train": (workspace.training_table, workspace.root / "kpi" / "images"),
        "validation": (workspace.validation_table, workspace.root / "kpi" / "images"),
        "kpi": (workspace.kpi_table, workspace.root / "kpi" / "images"),
        "holdout": (workspace.holdout_table, workspace.root / "kpi" / "images"),
        "pool": (workspace.mining_pool_table, workspace.mining_pool / "images"),
    }[split]
    types = DEFECTS[:-1] if split == "train" else DEFECTS
    labels = [PASS] * passing + [label for label in types for _ in range(defects)]
    rows = []
    for number, label in enumerate(labels):
        row = {
            "input_path": f"{split}/board{number % 4}",
            "golden_path": f"golden/{split}/board{number % 4}",
            "label": label,
            "object_name": f"C{number}",
            "boardname": f"{split}-{number % 4}",
        }
        for folder in ("input_path", "golden_path"):
            for light in lights:
                save_noise(images / row[folder] / f"{row['object_name']}_{light}.png", rng)
        rows.append(row)
    write_table(table, pd.DataFrame(rows).reindex(columns=COLUMNS, fill_value=""))


def save_noise(path: Path, rng: np.random.Generator) -> Path:
    """Save a picture of noise: no two are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
    return path


def _write_pairs(workspace: Workspace, rng: np.random.Generator, pairs: int) -> None:
    for number in range(pairs):
        stem = f"R{number}+{DEFECTS[number % len(DEFECTS)]}_{number}"
        save_noise(workspace.reconstructed_images / f"{stem}.png", rng)
        save_noise(workspace.original_images / f"{stem}.png", rng)


def _write_spec(workspace: Workspace, lights: tuple[str, ...]) -> None:
    images = str(workspace.root / "kpi" / "images")
    tables = {
        "train": workspace.training_table,
        "validation": workspace.validation_table,
        "test": workspace.kpi_table,
        "infer": workspace.kpi_table,
    }
    splits = {
        f"{name}_dataset": {"csv_path": str(path), "images_dir": images} for name, path in tables.items()
    }
    classify = {
        **splits,
        "input_map": {light: number for number, light in enumerate(lights)},
        "image_ext": ".png",
        "batch_size": 8,
        "num_input": len(lights),
    }
    spec = {
        "task": "classify",
        "model": {"backbone": {"type": "deft_mid_fusion"}},
        "dataset": {"classify": {**classify, "image_width": 16, "image_height": 16}},
        "train": {"num_epochs": 2, "seed": 1, "precision": "32-true", "embedded": {"threads": 1}},
    }
    files.write_yaml(workspace.baseline_spec, spec)
