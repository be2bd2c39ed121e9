"""The training stage: the best epoch by validation, and a training that validated nothing."""

from __future__ import annotations

import pytest

from deft import files
from deft.errors import StageFailed, StateConflict
from deft.loop import run_loop
from deft.run.log import read
from deft.stages.base import StageContext
from deft.stages.train import Train
from loop_fixtures import SILENT, new_run


def test_the_best_epoch_is_the_one_with_the_lowest_validation_loss(state):
    baseline = state["iterations"]["baseline"]
    assert baseline["best_ckpt_path"].endswith("model_epoch_001_step_00020.pth")
    assert baseline["val_loss"] == pytest.approx(1 / 2 / 26)


def test_the_baseline_starts_from_scratch_and_says_so(finished, state):
    spec = files.read_yaml(finished.phase("baseline").train / "train_spec.yaml")
    assert "pretrained_model_path" not in spec["train"]
    assert state["iterations"]["baseline"]["warm_start_from"] is None
    assert state["iterations"]["iter1"]["warm_start_from"] == "baseline"


def test_a_training_that_validated_nothing_has_failed(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    monkeypatch.setattr("stub_platform._train", lambda call, losses: files.write_text(call.log, ""))
    with pytest.raises(StageFailed, match="without one validated epoch"):
        run_loop(run, SILENT)


@pytest.mark.parametrize(
    ("split", "table"), [("train", "training_set.csv"), ("validation", "validation_set.csv")]
)
def test_no_training_starts_on_images_that_were_exchanged_since_the_approval(
    tmp_path, monkeypatch, split, table
):
    run, stub = new_run(tmp_path, monkeypatch)
    picture = next((run.workspace.images / split).rglob("*.png"))
    content = picture.read_bytes()
    picture.write_bytes(content + b"\0")
    with pytest.raises(StateConflict, match=f"images of train/base/{table}"):
        run_loop(run, SILENT)
    last = read(run.log)[-1]
    assert (last["iter"], last["stage"], last["status"], stub.calls) == ("baseline", "train", "error", [])
    picture.write_bytes(content)
    with pytest.raises(KeyboardInterrupt):
        run_loop(run, SILENT, after_stage=_interrupt)
    assert read(run.log)[-1]["status"] == "ok"


def test_what_was_trained_while_an_image_was_exchanged_is_not_gone_on_from(tmp_path, monkeypatch):
    run, stub = new_run(tmp_path, monkeypatch)
    picture = next((run.workspace.images / "train").rglob("*.png"))
    content = picture.read_bytes()
    found = []

    def exchange(call):
        found.append((call.writes / "half.pth").exists())
        files.write_text(call.writes / "half.pth", "half trained")
        picture.write_bytes(content + b"\0" if len(found) == 1 else content)

    stub.before = exchange
    with pytest.raises(StateConflict, match=r"images of train/base/training_set\.csv"):
        run_loop(run, SILENT)
    picture.write_bytes(content)
    with pytest.raises(KeyboardInterrupt):
        run_loop(run, SILENT, after_stage=_interrupt)
    assert (found, read(run.log)[-1]["status"]) == ([False, False], "ok")


def _interrupt(state):
    raise KeyboardInterrupt


def test_the_images_are_part_of_what_decides_a_training(finished, state):
    plan = files.read_json(finished.plan)
    context = StageContext(finished, plan, state, finished.phase("iter1"), None, SILENT)
    names = ("images of train/base/training_set.csv", "images of train/base/validation_set.csv")
    assert Train().parameters(context)["images"] == {name: plan["image_digests"][name] for name in names}
