"""Tiny pairs whose defect is a planted bright square, and a spec that trains on them in a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from planted_boards import SIZE, write_split

from deft.tools.visual_changenet.schema import ExperimentConfig


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
