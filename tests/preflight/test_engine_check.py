"""What the embedded engine could not train on is refused before anybody approves it, by its key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import deft
from deft import files
from deft.errors import InputRefused
from deft.preflight.engine_check import require_backbone_weights
from deft.preflight.plan import make_plan
from loop_fixtures import use_stub
from tiny_workspace import make_workspace


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    use_stub(monkeypatch)
    return make_workspace(tmp_path / "workspace")


def plan_with(workspace, key, value, given=None):
    """Plan a run of the workspace with one key of its spec changed."""
    spec = files.read_yaml(workspace.baseline_spec)
    block = spec
    *parents, last = key.split(".")
    for name in parents:
        block = block.setdefault(name, {})
    block[last] = value
    files.write_yaml(workspace.baseline_spec, spec)
    return make_plan(workspace, target=None, platform="embedded", given={"threads": 1, **(given or {})})[0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.backbone.type", "nonsense"),
        ("model.backbone.type", "fan_small_12_p4_hybrid"),
        ("model.foo", 1),
        ("train.optim.policy", "weird"),
        ("train.optim.lr", "abc"),
        ("train.optim.lr", -1),
        ("train.classify.loss", "weird"),
        ("train.checkpoint_interval", "often"),
        ("dataset.classify.num_golden", 3),
        ("dataset.classify.image_width", 8),
        ("model.backbone.pretrained_backbone_path", "/nope.pth"),
    ],
)
def test_a_key_that_the_first_stage_would_fail_on_is_refused_by_name(workspace, key, value):
    with pytest.raises(InputRefused) as caught:
        plan_with(workspace, key, value)
    assert key in str(caught.value)
    assert caught.value.exit_code == 3


def test_values_that_the_plan_decides_are_those_that_are_checked(workspace):
    assert plan_with(workspace, "train.checkpoint_interval", 50, {"num_epochs": 2})["settings"]


def test_a_number_as_people_write_it_is_one(workspace):
    text = workspace.baseline_spec.read_text().replace("num_epochs: 2", "num_epochs: 2\n  optim: {lr: 1e-4}")
    workspace.baseline_spec.write_text(text)
    assert make_plan(workspace, target=None, platform="embedded", given={"threads": 1})


def test_weights_that_are_not_here_are_refused(tmp_path):
    weights = files.write_text(tmp_path / "dino.pth", "weights")
    require_backbone_weights(str(weights))
    with pytest.raises(InputRefused, match="does not exist"):
        require_backbone_weights(f"{weights}.old")


@pytest.mark.parametrize("named", ["dino.pth", "models/dino.pth", "./dino", "~/dino.pth", "here/model"])
def test_weights_whose_place_depends_on_where_the_run_starts_are_refused(tmp_path, monkeypatch, named):
    files.write_text(tmp_path / "here" / "model", "weights")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputRefused, match="full path"):
        require_backbone_weights(named)


def test_a_hub_id_is_left_to_the_engine():
    require_backbone_weights("facebook/dinov2-small")


def test_the_check_does_not_load_torch():
    code = "import sys, deft.preflight.engine_check; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(deft.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
