"""Specs are derived, never edited: roots, warm start, intervals, and what must not be carried on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deft import files
from deft.errors import InputRefused
from deft.workspace.layout import Workspace
from deft.workspace.training_spec import (
    TrainingSettings,
    images_folder,
    inference_spec,
    is_embedded_engine,
    prove_spec,
    read_baseline_spec,
    require_no_whole_weights,
    training_spec,
)
from tiny_workspace import make_workspace

SETTINGS = TrainingSettings(epochs=3, batch_size=8, seed=5, num_gpus=0, precision="32-true", threads=1)


@pytest.fixture
def workspace(tmp_path):
    return make_workspace(tmp_path / "workspace")


def test_an_iteration_trains_under_the_workspace_root_and_the_others_keep_theirs(workspace):
    combined = workspace.root / "combined.csv"
    spec = training_spec(read_baseline_spec(workspace), workspace, SETTINGS, combined_table=combined)
    roots = {
        split: spec["dataset"]["classify"][f"{split}_dataset"]["images_dir"]
        for split in ("train", "validation", "test", "infer")
    }
    images = str(workspace.root / "kpi" / "images")
    assert roots == {"train": str(workspace.root), "validation": images, "test": images, "infer": images}


def test_a_resume_path_of_the_user_never_reaches_a_training(workspace):
    baseline = read_baseline_spec(workspace)
    baseline["train"].update(resume_training_checkpoint_path="/old.pth", pretrained_model_path="/old.pth")
    spec = training_spec(baseline, workspace, SETTINGS)
    assert "resume_training_checkpoint_path" not in spec["train"]
    assert "pretrained_model_path" not in spec["train"]


@pytest.mark.parametrize("key", ["pretrained_model_path", "resume_training_checkpoint_path"])
def test_a_trained_network_that_a_run_would_leave_out_is_refused_with_the_way_to_begin_from_it(
    workspace, key
):
    baseline = read_baseline_spec(workspace)
    baseline["train"][key] = "/my model.pth"
    with pytest.raises(InputRefused, match=rf"train\.{key}[\s\S]*--baseline-checkpoint '/my model\.pth'"):
        require_no_whole_weights(baseline, workspace)


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_name_of_a_trained_network_is_none(workspace, empty):
    baseline = read_baseline_spec(workspace)
    baseline["train"].update(pretrained_model_path=empty, resume_training_checkpoint_path=empty)
    require_no_whole_weights(baseline, workspace)
    require_no_whole_weights({**baseline, "train": None}, workspace)


def test_warm_start_names_the_checkpoint_and_nothing_else(workspace):
    spec = training_spec(read_baseline_spec(workspace), workspace, SETTINGS, warm_start=Path("/best.pth"))
    assert spec["train"]["pretrained_model_path"] == "/best.pth"


def test_intervals_never_exceed_the_epochs(workspace):
    baseline = read_baseline_spec(workspace)
    baseline["train"].update(checkpoint_interval=10, validation_interval=10)
    train = training_spec(baseline, workspace, SETTINGS)["train"]
    assert (train["checkpoint_interval"], train["validation_interval"]) == (3, 3)


@pytest.mark.parametrize("value", ["often", [1]])
def test_an_interval_that_is_no_number_is_refused_by_its_key(workspace, value):
    baseline = read_baseline_spec(workspace)
    baseline["train"]["checkpoint_interval"] = value
    with pytest.raises(InputRefused, match=r"train\.checkpoint_interval"):
        training_spec(baseline, workspace, SETTINGS)


def test_the_users_spec_is_not_changed_by_deriving(workspace):
    baseline = read_baseline_spec(workspace)
    before = files.canonical_json(baseline)
    training_spec(baseline, workspace, SETTINGS, warm_start=Path("/best.pth"))
    assert files.canonical_json(baseline) == before


def test_inference_keeps_the_loss_and_drops_the_training(workspace):
    baseline = {**read_baseline_spec(workspace)}
    baseline["train"]["classify"] = {"loss": "ce"}
    spec = inference_spec(training_spec(baseline, workspace, SETTINGS), batch_size=4)
    scoring = {"classify": {"loss": "ce"}, "embedded": {"threads": 1}, "precision": "32-true"}
    assert spec["train"] == scoring
    assert spec["dataset"]["classify"]["batch_size"] == 4
    assert spec["dataset"]["classify"]["augmentation_config"]["augment"] is False


def test_a_table_that_does_not_resolve_under_its_root_is_found_before_training(workspace):
    spec = training_spec(read_baseline_spec(workspace), workspace, SETTINGS)
    prove_spec(spec)
    spec["dataset"]["classify"]["train_dataset"]["images_dir"] = str(workspace.root)
    with pytest.raises(InputRefused, match="do not exist"):
        prove_spec(spec)


@pytest.mark.parametrize(
    ("text", "fact"),
    [("task: segment\ndataset: {classify: {}}", "task: classify"), ("task: classify", "no `dataset`")],
)
def test_a_spec_of_another_kind_is_refused(workspace, text, fact):
    workspace.baseline_spec.write_text(text)
    with pytest.raises(InputRefused, match=fact):
        read_baseline_spec(workspace)


def test_an_image_root_of_the_spec_counts_only_where_it_exists(workspace):
    spec = read_baseline_spec(workspace)
    spec["dataset"]["classify"]["infer_dataset"]["images_dir"] = "/nowhere"
    assert images_folder(spec, "infer", workspace) == workspace.images


def test_a_copied_workspace_reads_its_own_pictures(workspace, tmp_path):
    copy = Workspace.at(shutil.copytree(workspace.root, tmp_path / "copy"))
    spec = read_baseline_spec(copy)
    assert spec["dataset"]["classify"]["infer_dataset"]["images_dir"] == str(workspace.images)
    for split in ("train", "validation", "test", "infer"):
        assert images_folder(spec, split, copy) == copy.images


def test_a_copy_without_pictures_reads_those_of_its_origin(workspace, tmp_path):
    copy = Workspace.at(shutil.copytree(workspace.root, tmp_path / "copy"))
    shutil.rmtree(copy.images)
    assert images_folder(read_baseline_spec(copy), "infer", copy) == workspace.images


def test_an_image_root_elsewhere_stays_where_it_is_in_a_copy(workspace, tmp_path):
    spec = read_baseline_spec(workspace)
    (tmp_path / "disk").mkdir()
    spec["dataset"]["classify"]["infer_dataset"]["images_dir"] = str(tmp_path / "disk")
    copy = Workspace.at(shutil.copytree(workspace.root, tmp_path / "copy"))
    assert images_folder(spec, "infer", copy) == tmp_path / "disk"


def test_the_embedded_engine_is_known_by_its_backbone(workspace):
    assert is_embedded_engine(read_baseline_spec(workspace))
    assert not is_embedded_engine({"model": {"backbone": {"type": "c_radio_v2_vit_base_patch16_224"}}})
