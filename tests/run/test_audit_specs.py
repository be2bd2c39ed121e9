"""Specs and images: no model that was trained, validated or looked at otherwise than agreed is taken."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deft import files
from deft.loop import run_loop
from deft.run.audit import audit_run
from deft.run.audit_specs import relocated
from deft.run.places import Places
from deft.workspace.layout import RunFolder
from forging import copy_with_workspace, folder_of, refused, reseal
from loop_fixtures import SILENT, open_approved_run, use_stub
from tiny_workspace import make_workspace


@pytest.fixture
def run(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of a finished run, with its workspace, to tamper with."""
    return copy_with_workspace(finished, tmp_path)


@pytest.fixture
def alone(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of a finished run without its workspace."""
    copy = RunFolder(tmp_path / "archive" / "results" / finished.root.name)
    shutil.copytree(finished.root, copy.root)
    return copy


def forge(run: RunFolder, edit: Callable[[dict[str, Any]], object], *paths: Path) -> None:
    """Edit specs and seal the run again."""
    for path in paths:
        spec = files.read_yaml(path)
        edit(spec)
        files.write_yaml(path, spec)
    reseal(run)


def on_the_kpi_set(split: str) -> Callable[[dict[str, Any]], object]:
    def edit(spec: dict[str, Any]) -> None:
        classify = spec["dataset"]["classify"]
        classify[f"{split}_dataset"]["csv_path"] = classify["infer_dataset"]["csv_path"]

    return edit


def with_other_images(split: str) -> Callable[[dict[str, Any]], object]:
    return lambda spec: spec["dataset"]["classify"][f"{split}_dataset"].update(images_dir="/somewhere/else")


def with_another_backbone(spec: dict[str, Any]) -> None:
    spec["model"]["backbone"]["type"] = "something_else"


# --- trainings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "difference"),
    [
        (on_the_kpi_set("train"), "table train"),
        (on_the_kpi_set("validation"), "table validation"),
        (with_other_images("train"), "spec dataset.classify.train_dataset.images_dir"),
        (with_other_images("infer"), "spec dataset.classify.infer_dataset.images_dir"),
        (with_another_backbone, "spec model.backbone.type"),
        (lambda spec: spec["train"].update(checkpoint_interval=2), "spec train.checkpoint_interval"),
        (lambda spec: spec.update(more=1), "spec more"),
    ],
)
def test_a_training_that_differs_in_any_key_is_refused_by_its_first(run, edit, difference):
    forge(run, edit, run.phase("baseline").train / "train_spec.yaml")
    refused(run, f"baseline/train {difference}", "train_spec.yaml")


@pytest.mark.parametrize(
    ("edit", "difference"),
    [
        (on_the_kpi_set("train"), "table train"),
        (on_the_kpi_set("validation"), "table validation"),
        (with_other_images("train"), "spec dataset.classify.train_dataset.images_dir"),
    ],
)
def test_a_merge_whose_spec_differs_in_any_key_is_refused_by_its_first(run, edit, difference):
    phase = run.phase("iter2")
    forge(run, edit, phase.training_spec, phase.train / "train_spec.yaml")
    refused(run, f"iter2/data_merge {difference}", "train_spec.yaml")


def test_without_the_workspace_a_validation_on_the_kpi_set_is_still_refused(alone):
    forge(alone, on_the_kpi_set("validation"), alone.phase("baseline").train / "train_spec.yaml")
    refused(alone, "baseline/train table validation", "testing_set.csv")


def test_without_the_workspace_the_rest_of_the_specs_is_named_as_not_checked(alone):
    said = [line for line in audit_run(alone)["not_checked"] if line.startswith("train_spec.yaml")]
    assert said == [
        "train_spec.yaml but for settings, tables and warm start: the workspace of the plan is not here"
    ]


def test_the_spec_of_a_checkpoint_that_came_trained_is_compared_too(finished, tmp_path, monkeypatch):
    use_stub(monkeypatch)
    checkpoint = tmp_path / "automl.pth"
    shutil.copyfile(next(finished.phase("iter1").train.glob("*.pth")), checkpoint)
    run = open_approved_run(make_workspace(tmp_path / "workspace"), baseline=checkpoint, max_iterations=1)
    run_loop(run, SILENT)
    forge(run, with_another_backbone, run.phase("baseline").root / "seeded_spec.yaml")
    refused(run, "baseline/evaluate spec model.backbone.type", "baseline/seeded_spec.yaml")


# --- inference and gap analysis --------------------------------------------------------------


def test_a_spec_of_inference_that_no_training_gives_is_refused(run):
    files.write_yaml(folder_of(run, "iter2/evaluate") / "inference_spec.yaml", {"junk": 1})
    reseal(run)
    refused(run, "iter2/evaluate spec task", "inference_spec.yaml", "recorded classify, found nothing")


def test_scoring_in_another_precision_than_that_of_the_training_is_refused(run):
    path = folder_of(run, "iter1/evaluate") / "inference_spec.yaml"
    forge(run, lambda spec: spec["train"].update(precision="16-mixed"), path)
    refused(run, "iter1/evaluate spec train.precision", "found 16-mixed")


def test_a_gap_analysis_of_foreign_images_is_refused(run):
    folder = folder_of(run, "iter2/rca")
    path = folder / "vcn_aoi_spec.yaml"
    old = files.read_yaml(path)["kpi_media_path"]
    gaps = files.read_parquet(folder / "kpi_gaps.parquet")
    moved = gaps["filepath"].str.replace(old, "/elsewhere", regex=False)
    files.write_parquet(folder / "kpi_gaps.parquet", gaps.assign(filepath=moved))
    forge(run, lambda spec: spec.update(kpi_media_path="/elsewhere"), path)
    refused(run, "iter2/rca spec kpi_media_path", "found /elsewhere")


# --- images ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "step", "table"),
    [
        ("train", "baseline/train", "train/base/training_set.csv"),
        ("validation", "baseline/train", "train/base/validation_set.csv"),
        ("kpi", "baseline/evaluate", "kpi/testing_set.csv"),
        ("holdout", "baseline/evaluate", "kpi/holdout_set.csv"),
    ],
)
def test_an_image_exchanged_since_the_plan_is_named_by_its_table(run, split, step, table):
    picture = next((run.workspace.images / split).rglob("*.png"))
    picture.write_bytes(picture.read_bytes() + b"\0")
    refused(run, f"{step} content of the images of {table}", "plan.json")


def test_without_the_workspace_the_images_are_named_as_not_checked(alone):
    said = " ".join(line for line in audit_run(alone)["not_checked"] if line.startswith("images of"))
    for table in ("training_set.csv", "validation_set.csv", "testing_set.csv", "holdout_set.csv"):
        assert table in said


# --- copies ----------------------------------------------------------------------------------


def test_a_copied_workspace_is_judged_by_its_own_images_under_a_root_of_its_own_name(tmp_path, monkeypatch):
    """The user's spec still names the old place, where everything lies as it did."""
    use_stub(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    pictures = workspace.images.rename(workspace.root / "pictures")
    text = workspace.baseline_spec.read_text()
    files.write_text(workspace.baseline_spec, text.replace(f"{workspace.root}/kpi/images", str(pictures)))
    run = open_approved_run(workspace, max_iterations=1)
    run_loop(run, SILENT)
    copy = copy_with_workspace(run, tmp_path)
    assert audit_run(copy)["status"] == "agrees"
    picture = next((copy.workspace.root / "pictures" / "kpi").rglob("*.png"))
    picture.write_bytes(picture.read_bytes() + b"\0")
    assert audit_run(run)["status"] == "agrees"
    refused(copy, "baseline/evaluate content of the images of kpi/testing_set.csv")


def test_only_paths_of_the_recorded_workspace_are_taken_to_where_they_are_now():
    places = Places(RunFolder(Path("/here/results/r")), Path("/there"), Path("/there/results/r"))
    record = {"a": ["/there/images", 1, None], "b": "/there/../x", "c": "there", "d": "/else", "e": "/theres"}
    assert relocated(record, places) == {**record, "a": ["/here/images", 1, None]}
