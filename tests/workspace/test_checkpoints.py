"""What a training left: the best epoch follows from the validation losses."""

from __future__ import annotations

import json

import pytest

from deft.errors import InputRefused
from deft.workspace.checkpoints import (
    best_checkpoint,
    checkpoint_name,
    checkpoints,
    latest_checkpoint,
    status_records,
    validation_losses,
)


@pytest.fixture
def folder(tmp_path):
    for epoch in range(4):
        (tmp_path / checkpoint_name(epoch, 20 * (epoch + 1))).write_text("weights")
    return tmp_path


def write_status(folder, losses, extra=""):
    lines = [
        json.dumps({"message": "Eval metrics generated.", "epoch": epoch, "kpi": {"val_loss": loss}})
        for epoch, loss in losses.items()
    ]
    (folder / "status.json").write_text("\n".join(lines) + "\n" + extra)


def test_the_best_checkpoint_has_the_lowest_loss_and_of_equals_is_the_later(folder):
    write_status(folder, {0: 0.5, 1: 0.3, 2: 0.3, 3: 0.4})
    assert best_checkpoint(folder).name == "model_epoch_002_step_00060.pth"


def test_the_latest_checkpoint_is_that_of_the_last_epoch(folder):
    assert latest_checkpoint(folder).name == "model_epoch_003_step_00080.pth"


def test_an_epoch_whose_checkpoint_is_gone_or_whose_loss_is_no_number_does_not_count(folder):
    write_status(folder, {0: 0.5, 1: 0.1, 2: float("nan"), 9: 0.01})
    (folder / checkpoint_name(1, 40)).unlink()
    assert validation_losses(folder) == {0: 0.5}


def test_a_torn_line_of_the_status_is_passed_over(folder):
    write_status(folder, {0: 0.5}, extra='{"message": "Eval metr')
    assert len(status_records(folder)) == 1


def test_other_files_are_no_checkpoints(folder):
    (folder / "model_epoch_x_step_1.pth").write_text("")
    assert list(checkpoints(folder)) == [0, 1, 2, 3]


def test_a_folder_without_checkpoints_is_refused_by_name(tmp_path):
    with pytest.raises(InputRefused, match="no checkpoint"):
        latest_checkpoint(tmp_path)
    with pytest.raises(InputRefused, match="no validated checkpoint"):
        best_checkpoint(tmp_path)
