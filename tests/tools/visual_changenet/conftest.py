"""Tiny pairs whose defect is a planted bright square, and a spec that trains on them in a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from deft.tools.visual_changenet.schema import ExperimentConfig

SIZE = 32


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


@pytest.fixture(scope="session")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images and the tables train, validation and kpi (one light, no suffix)."""
    root = tmp_path_factory.mktemp("boards")
    write_split(root, "train", 24)
    write_split(root, "validation", 12, first_seed=5000)
    write_split(root, "kpi", 18, first_seed=9000)
    return root


Compose = Callable[..., DictConfig]


@pytest.fixture
def compose(boards: Path, tmp_path: Path) -> Compose:
    """Merge the schema, a tiny spec over `boards` and dotted overrides."""

    def merged(results: Path = tmp_path / "results", **overrides: Any) -> DictConfig:
        spec = {
            "task": "classify",
            "results_dir": str(results),
            "model": {"backbone": {"type": "deft_mid_fusion"}, "embedded": {"width": 4}},
            "dataset": {
                "classify": {
                    "train_dataset": split(boards, "train"),
                    "validation_dataset": split(boards, "validation"),
                    "test_dataset": split(boards, "kpi"),
                    "infer_dataset": split(boards, "kpi"),
                    "image_ext": ".png",
                    "batch_size": 8,
                    "image_width": SIZE,
                    "image_height": SIZE,
                }
            },
            "train": {"num_epochs": 3, "embedded": {"steps_per_epoch": 4, "threads": 1}},
        }
        config = OmegaConf.merge(OmegaConf.structured(ExperimentConfig), spec)
        for key, value in overrides.items():
            OmegaConf.update(config, key.replace("__", "."), value)
        assert isinstance(config, DictConfig)
        return config

    return merged


def split(root: Path, name: str) -> dict[str, str]:
    return {"csv_path": str(root / f"{name}.csv"), "images_dir": str(root / "images")}
