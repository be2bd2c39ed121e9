"""Digests of images: no exchange goes unnoticed, and nothing is read twice for it."""

from __future__ import annotations

import os

import pytest

from deft import files
from deft.errors import StateConflict
from deft.workspace import image_digests as module
from deft.workspace.image_digests import (
    SCORED,
    SPLITS,
    TRAINED,
    agreed_images,
    image_digests,
    split_digests,
)
from deft.workspace.rows import read_table, write_table
from deft.workspace.training_spec import read_baseline_spec
from tiny_workspace import make_workspace


@pytest.fixture
def workspace(tmp_path):
    return make_workspace(tmp_path / "workspace")


@pytest.fixture
def plan(workspace):
    return {"image_digests": image_digests(workspace)}


def picture_of(workspace, split):
    return next((workspace.images / split).rglob("*.png"))


def test_the_agreed_digests_of_the_asked_splits_are_returned(workspace, plan):
    found = agreed_images(plan, workspace, TRAINED)
    assert list(found) == ["images of train/base/training_set.csv", "images of train/base/validation_set.csv"]
    assert set(found.items()) <= set(plan["image_digests"].items())


@pytest.mark.parametrize(
    ("split", "table"),
    [
        ("train", "train/base/training_set.csv"),
        ("validation", "train/base/validation_set.csv"),
        ("kpi", "kpi/testing_set.csv"),
        ("holdout", "kpi/holdout_set.csv"),
    ],
)
def test_an_exchanged_image_is_refused_by_its_table_and_only_where_it_is_used(workspace, plan, split, table):
    picture = picture_of(workspace, split)
    picture.write_bytes(picture.read_bytes() + b"\0")
    with pytest.raises(StateConflict, match=f"images of {table}"):
        agreed_images(plan, workspace, (split,))
    others = [name for name in SPLITS if name != split]
    assert len(agreed_images(plan, workspace, others)) == 3


def test_a_golden_image_counts_as_much_as_a_tested_one(workspace, plan):
    picture = picture_of(workspace, "golden/kpi")
    picture.write_bytes(picture.read_bytes() + b"\0")
    with pytest.raises(StateConflict, match=r"testing_set\.csv"):
        agreed_images(plan, workspace, ("kpi",))


def test_an_image_of_the_same_size_and_date_is_read_again(workspace, plan):
    picture = picture_of(workspace, "kpi")
    before, content = picture.stat(), picture.read_bytes()
    picture.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(StateConflict, match=r"testing_set\.csv"):
        agreed_images(plan, workspace, ("kpi",))


def test_an_image_that_is_gone_is_refused_by_its_table(workspace, plan):
    picture_of(workspace, "kpi").unlink()
    with pytest.raises(StateConflict, match=r"testing_set\.csv"):
        agreed_images(plan, workspace, ("kpi",))


def test_untouched_images_are_read_once_in_a_process(workspace, monkeypatch):
    read = []
    hashed = files.sha256_of_file
    monkeypatch.setattr(module.files, "sha256_of_file", lambda path: read.append(path) or hashed(path))
    first = split_digests(workspace, ("kpi",))
    assert len(read) == len(set(read)) == 2 * len(read_table(workspace.kpi_table))
    assert split_digests(workspace, ("kpi",)) == first
    assert len(read) == len(set(read))


def test_a_table_without_a_file_has_no_digest_and_one_that_came_later_is_refused(workspace):
    table = read_table(workspace.holdout_table)
    workspace.holdout_table.unlink()
    plan = {"image_digests": image_digests(workspace)}
    assert list(agreed_images(plan, workspace, SCORED)) == [
        "images of kpi/testing_set.csv",
        "images of train/base/validation_set.csv",
    ]
    write_table(workspace.holdout_table, table)
    with pytest.raises(StateConflict, match=r"holdout_set\.csv"):
        agreed_images(plan, workspace, SCORED)


def test_a_held_out_table_that_is_gone_is_refused(workspace, plan):
    workspace.holdout_table.unlink()
    with pytest.raises(StateConflict, match=r"holdout_set\.csv"):
        agreed_images(plan, workspace, SCORED)


def test_a_given_spec_says_below_which_root_the_images_lie(workspace, plan, tmp_path):
    other = make_workspace(tmp_path / "other", seed=7)
    spec = read_baseline_spec(workspace)
    spec["dataset"]["classify"]["infer_dataset"]["images_dir"] = str(other.images)
    name = "images of kpi/testing_set.csv"
    assert split_digests(workspace, ("kpi",), spec) == {name: image_digests(other)[name]}
    assert split_digests(workspace, ("kpi",))[name] == plan["image_digests"][name]
