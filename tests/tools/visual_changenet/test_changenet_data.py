from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image
from planted_boards import SIZE, write_split

from deft.errors import InputRefused
from deft.tools.visual_changenet import data
from deft.tools.visual_changenet.augmentation import Augmentation
from deft.tools.visual_changenet.data import SplitSource

Compose = Callable[..., DictConfig]


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


# --- reading ---------------------------------------------------------------------------------


def test_a_split_pairs_each_row_with_its_golden_and_its_label(compose: Compose, boards: Path) -> None:
    split = SplitSource.from_config(compose(), "train").load(8)
    golden, test = split.images.pairs(np.array([3, 1]))
    assert golden.shape == test.shape == (2, 1, SIZE, SIZE, 3)
    assert np.array_equal(golden[0, 0], pixels_of(boards / "images" / "golden" / "train003.png"))
    assert np.array_equal(test[1, 0], pixels_of(boards / "images" / "train" / "train001.png"))
    assert split.is_defect[:4].tolist() == [True, False, False, True]


def test_lights_come_in_the_order_they_are_written(compose: Compose, tmp_path: Path) -> None:
    write_split(tmp_path, "lit", 3, lights=("White", "Side"))
    block = {"csv_path": str(tmp_path / "lit.csv"), "images_dir": str(tmp_path / "images")}
    config = compose(
        dataset__classify__input_map={"Side": 1, "White": 0}, dataset__classify__train_dataset=block
    )
    _, test = SplitSource.from_config(config, "train").load(1).images.pairs(np.array([2]))
    assert np.array_equal(test[0, 0], pixels_of(tmp_path / "images" / "lit" / "lit002_Side.png"))
    assert np.array_equal(test[0, 1], pixels_of(tmp_path / "images" / "lit" / "lit002_White.png"))


def test_an_image_that_many_rows_name_is_decoded_once(compose: Compose, boards: Path, tmp_path: Path) -> None:
    table = pd.read_csv(boards / "train.csv", dtype=str)
    pd.concat([table, table, table]).to_csv(tmp_path / "thrice.csv", index=False)
    config = compose(dataset__classify__train_dataset__csv_path=str(tmp_path / "thrice.csv"))
    split = SplitSource.from_config(config, "train").load(8)
    assert len(split) == 72
    assert len(split.images.pixels) == 48


def test_blocks_cover_the_table_in_order(compose: Compose) -> None:
    source = SplitSource.from_config(compose(), "train")
    table = source.read_unlabelled(8)
    whole = source.read_images(table)
    blocks = [block.pairs(slice(None))[1] for block in source.blocks(table, 7)]
    assert [len(block) for block in blocks] == [7, 7, 7, 3]
    assert np.array_equal(np.concatenate(blocks), whole.pairs(slice(None))[1])


def test_images_that_do_not_fit_in_memory_are_refused_with_the_sum(
    compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "MEMORY_SHARE", 1e-9)
    with pytest.raises(InputRefused, match="48 images of 32x32 need"):
        SplitSource.from_config(compose(), "train").load(8)


# --- augmentation ----------------------------------------------------------------------------


def augmented(golden: np.ndarray, test: np.ndarray, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return Augmentation(0, generator, image_values=golden[0, 0].size)(golden, test)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_augmented_images_stay_in_range_and_repeat_with_the_generator() -> None:
    images = noise(16, 2, 24, 24, 3)
    golden, test = augmented(images, images)
    assert golden.shape == test.shape == (16, 2, 3, 24, 24)
    assert min(golden.min(), test.min()) >= 0
    assert max(golden.max(), test.max()) <= 1
    again = augmented(images, images)
    assert torch.equal(golden, again[0])
    assert torch.equal(test, again[1])
    assert not torch.equal(golden, augmented(images, images, seed=1)[0])


def test_golden_and_test_are_turned_alike_and_keep_their_channels_in_step() -> None:
    """A red corner mark must stand in the same corner and the same channel of both."""
    marked = np.full((64, 1, 32, 32, 3), 80, np.uint8)
    marked[:, :, :12, :8, 0] = 250
    golden, test = (images.flatten(2) for images in augmented(marked, marked))
    similarity = torch.nn.functional.cosine_similarity(
        golden - golden.mean(-1, True), test - test.mean(-1, True), dim=-1
    )
    assert similarity.min() > 0.6
    orientations = {int(image.argmax()) // 64 for image in golden[:, 0]}
    assert len(orientations) > 4


def test_a_golden_is_disturbed_less_than_a_test_image() -> None:
    flat = np.full((64, 1, 32, 32, 3), 128, np.uint8)
    golden, test = augmented(flat, flat)
    assert (golden - 0.5).abs().mean() < 0.75 * (test - 0.5).abs().mean()


def test_all_lights_of_a_component_are_placed_alike() -> None:
    image = noise(12, 1, 32, 32, 3)
    generator = torch.Generator().manual_seed(0)
    augmentation = Augmentation(0, generator, image_values=image[0, 0].size)
    planes = torch.from_numpy(np.repeat(image, 2, 1)).flatten(0, 1).permute(0, 3, 1, 2).float()
    placed = augmentation._place(planes, lights=2).unflatten(0, (12, 2))
    assert torch.equal(placed[:, 0], placed[:, 1])
    assert not torch.equal(placed.flatten(0, 1), planes)


def test_images_that_are_not_square_keep_their_shape() -> None:
    golden, test = augmented(noise(16, 1, 24, 40, 3), noise(16, 1, 24, 40, 3))
    assert golden.shape == test.shape == (16, 1, 3, 24, 40)
