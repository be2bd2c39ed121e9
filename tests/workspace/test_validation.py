"""One table checked by hand: what `validate_csv` answers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deft.errors import InputRefused, LeakageFound
from deft.workspace.validation import validate_table

HEADER = "input_path,golden_path,label,object_name,boardname\n"


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed, name in enumerate(("in/U0", "in/U1", "ok/U0", "ok/U1")):
        draw(tmp_path / f"kpi/images/{name}_SolderLight.jpg", seed)
    (tmp_path / "train.csv").write_text(HEADER + "kpi/images/in,kpi/images/ok,PASS,U0,b\n")
    (tmp_path / "validation.csv").write_text(HEADER + "in,ok,Open,U1,\n")
    return tmp_path


def test_a_sound_table_is_reported_with_its_rows_and_labels(root: Path) -> None:
    report = validate_table(root / "train.csv", root, root / "validation.csv")
    assert report["status"] == "ok"
    assert report["labels"] == {"PASS": 1}
    assert (report["rows_checked"], report["train_val_leakage_overlap_count"]) == (1, 0)
    assert report["images_dir"] == str(root)


def test_a_table_may_name_its_images_from_the_images_folder(root: Path) -> None:
    report = validate_table(root / "validation.csv", root)
    assert report["images_dir"] == str(root / "kpi/images")
    assert report["leakage"] is None


@pytest.mark.parametrize("row", ["in,ok,PASS,U0,", "IN,ok,open,U0,b", "{root}/kpi/images/in,ok,PASS,U0,b"])
def test_an_image_of_the_validation_table_is_found_however_it_is_spelt(root: Path, row: str) -> None:
    """B10: prefix, label case and an empty board name each made the original answer "ok", overlap 0."""
    shutil.copytree(root / "kpi/images/in", root / "kpi/images/IN")
    (root / "validation.csv").write_text(HEADER + row.format(root=root) + "\n")
    with pytest.raises(LeakageFound, match="train row 2"):
        validate_table(root / "train.csv", root, root / "validation.csv")


def test_a_missing_image_and_a_label_in_another_case_are_refused(root: Path) -> None:
    (root / "train.csv").write_text(HEADER + "kpi/images/in,kpi/images/ok,Pass,U0,b\n")
    with pytest.raises(InputRefused, match="PASS"):
        validate_table(root / "train.csv", root)
    (root / "train.csv").write_text(HEADER + "kpi/images/in,kpi/images/ok,PASS,U9,b\n")
    with pytest.raises(InputRefused, match="U9_SolderLight"):
        validate_table(root / "train.csv", root)
    with pytest.raises(InputRefused, match="U1_White"):
        validate_table(root / "validation.csv", root, light="White")
