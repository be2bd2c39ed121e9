"""Training alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft import files
from deft.run.gate import pending_for
from step_fixtures import agreed, run_deft, use_step_platform
from tiny_workspace import make_workspace


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    return make_workspace(tmp_path / "workspace")


def test_a_training_names_its_best_checkpoint(workspace, monkeypatch, capsys, tmp_path):
    stub = use_step_platform(monkeypatch)
    folder = tmp_path / "out" / "train"
    folder.parent.mkdir()
    call = ("train", workspace.baseline_spec, f"train.results_dir={folder}", "train.num_epochs=2")
    record = agreed(capsys, workspace.root, *call)
    assert record["folder"] == str(folder)
    assert Path(record["checkpoint"]).parent == folder
    assert record["epochs"] == 2
    (train,) = stub.calls
    assert train.overrides["train.num_epochs"] == 2
    assert train.overrides["dataset.classify.train_dataset.csv_path"] == workspace.training_table


def test_the_tables_and_the_warm_start_are_in_the_plan(workspace, monkeypatch, capsys, tmp_path):
    use_step_platform(monkeypatch)
    model = files.write_text(tmp_path / "model.pth", "weights")
    words = (f"train.results_dir={tmp_path / 'train'}", f"train.pretrained_model_path={model}")
    assert run_deft(capsys, "train", workspace.baseline_spec, *words)[0] == 4
    plan = pending_for(workspace)
    assert set(plan["inputs"]) == {
        "specs/baseline_spec.yaml",
        "train/base/training_set.csv",
        "train/base/validation_set.csv",
        str(model),
    }
    assert plan["settings"]["train.num_epochs"] == {"value": 2, "source": "spec"}
    assert not (tmp_path / "train").exists()


def test_a_warm_start_that_is_not_there_is_refused(workspace, monkeypatch, capsys, tmp_path):
    use_step_platform(monkeypatch)
    words = (f"train.results_dir={tmp_path}", "train.pretrained_model_path=/no.pth")
    code, record = run_deft(capsys, "train", workspace.baseline_spec, *words)
    assert (code, record["error"]["value"]) == (3, "/no.pth")
