"""The spec that drawn and imported workspaces start with."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf

from deft.files import read_yaml
from deft.tools.visual_changenet.schema import ExperimentConfig
from deft.workspace.baseline_spec import write_baseline_spec
from deft.workspace.layout import Workspace
from deft.workspace.rows import ImageLayout


def test_the_embedded_engine_knows_every_key(tmp_path: Path) -> None:
    path = write_baseline_spec(Workspace(tmp_path), tmp_path / "home", lights=("A",))
    merged = OmegaConf.merge(OmegaConf.structured(ExperimentConfig), OmegaConf.load(path))
    assert merged.model.embedded.rotations == 4
    assert merged.train.num_epochs * merged.train.embedded.steps_per_epoch == 200


def test_paths_are_absolute_and_lie_in_the_final_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    spec = read_yaml(write_baseline_spec(Workspace(tmp_path / "site"), home, lights=("A", "B")))
    classify = spec["dataset"]["classify"]
    for split in ("train", "validation", "test", "infer"):
        block = classify[f"{split}_dataset"]
        assert Path(block["csv_path"]).is_relative_to(home)
        assert block["images_dir"] == str(home / "kpi" / "images")
    assert ImageLayout.from_spec(spec) == ImageLayout(("A", "B"), ".jpg")
    assert classify["num_input"] == 2
