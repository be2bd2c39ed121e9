"""A spec with changes over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft import files
from deft.errors import InputRefused, UsageError
from deft.steps.experiment import Experiment
from deft.workspace.layout import Workspace
from tiny_workspace import make_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "workspace")


def experiment(workspace: Workspace, **overrides: object) -> Experiment:
    return Experiment(
        workspace.baseline_spec, {key.replace("__", "."): value for key, value in overrides.items()}
    )


def test_an_override_stands_over_the_spec_and_says_that_the_user_chose_it(workspace):
    changed = experiment(workspace, train__num_epochs=9)
    assert changed.value("train.num_epochs") == 9
    assert changed.settings("train.num_epochs", "train.seed", "train.absent") == {
        "train.num_epochs": {"value": 9, "source": "user"},
        "train.seed": {"value": 1, "source": "spec"},
    }


def test_a_mapping_as_override_changes_only_what_it_names(workspace):
    changed = experiment(workspace, train={"num_epochs": 9})
    assert (changed.value("train.num_epochs"), changed.value("train.seed")) == (9, 1)


def test_results_lie_where_the_tool_would_put_them(workspace, tmp_path):
    assert experiment(workspace, results_dir=str(tmp_path)).results("train") == tmp_path / "train"
    own = experiment(workspace, results_dir="/x", train__results_dir=str(tmp_path / "own"))
    assert own.results("train") == tmp_path / "own"
    with pytest.raises(UsageError, match=r"train\.results_dir=FOLDER"):
        experiment(workspace).results("train")


def test_a_call_writes_where_the_plan_says_and_keeps_the_users_words(workspace, tmp_path):
    call = experiment(workspace, train__num_epochs=9).call("train", tmp_path, tmp_path / "log", a__b=1)
    assert call.overrides == {"train.num_epochs": 9, "a.b": 1, "train.results_dir": tmp_path}
    assert call.spec == workspace.baseline_spec


def test_a_split_whose_images_are_not_there_is_refused(workspace):
    elsewhere = experiment(workspace, dataset__classify__test_dataset__images_dir="/nowhere")
    with pytest.raises(InputRefused, match="do not exist"):
        elsewhere.split("test")


def test_a_key_that_is_needed_is_named(workspace):
    with pytest.raises(UsageError, match=r"inference\.checkpoint"):
        experiment(workspace).file("inference.checkpoint")
    with pytest.raises(InputRefused, match="does not exist"):
        experiment(workspace, inference__checkpoint="/no.pth").file("inference.checkpoint")


@pytest.mark.parametrize("content", [["a"], {"task": "segment"}])
def test_a_file_that_is_no_classify_spec_is_refused(tmp_path, content):
    spec = files.write_yaml(tmp_path / "spec.yaml", content)
    with pytest.raises(InputRefused):
        Experiment(spec, {}).value("train.num_epochs")


def test_the_command_line_says_every_change_in_the_tools_grammar(workspace):
    changed = experiment(workspace, train__tensorboard=None, train__sync=True, train__num_epochs=9)
    words = changed.arguments("train", "embedded")
    assert words[2:5] == ("train.tensorboard=null", "train.sync=true", "train.num_epochs=9")


@pytest.mark.parametrize("key", ["train.gpu_ids.9", "train.gpu_ids.first"])
def test_a_change_that_does_not_fit_the_spec_is_refused(tmp_path, key):
    spec = files.write_yaml(tmp_path / "spec.yaml", {"task": "classify", "train": {"gpu_ids": [0]}})
    with pytest.raises(UsageError, match="does not fit the spec"):
        Experiment(spec, {key: 1}).value("train.seed")


def test_a_reference_to_nothing_is_refused_by_its_key(tmp_path):
    spec = files.write_yaml(tmp_path / "spec.yaml", {"task": "classify", "results_dir": "${nowhere}"})
    with pytest.raises(InputRefused, match="results_dir cannot be read"):
        Experiment(spec, {}).results("train")


def test_a_table_without_rows_is_refused(workspace):
    header = workspace.kpi_table.read_text().splitlines()[0]
    files.write_text(workspace.kpi_table, header + "\n")
    with pytest.raises(InputRefused, match="no rows"):
        experiment(workspace).split("test")
