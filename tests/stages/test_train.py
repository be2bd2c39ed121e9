"""The training stage: the best epoch by validation, and a training that validated nothing."""

from __future__ import annotations

import pytest

from deft import files
from deft.errors import StageFailed
from deft.loop import run_loop
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
