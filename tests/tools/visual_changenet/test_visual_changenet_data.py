from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig
from PIL import Image
from planted_boards import SIZE, write_split

from deft.errors import InputRefused
from deft.tools.visual_changenet import data
from deft.tools.visual_changenet.data import SplitSource

Compose = Callable[..., DictConfig]


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


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
