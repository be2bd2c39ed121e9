"""What a training left: the best epoch follows from the validation losses."""

from __future__ import annotations

import json

import pytest

from deft.errors import InputRefused
from deft.workspace.checkpoints import (
    best_checkpoint,
    checkpoint_name,
    checkpoints,
    epochs_done,
    latest_checkpoint,
    recorded_losses,
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


@pytest.mark.parametrize("line", ["[" * 100_000, '{"message": "Training loop in progress", "epoch": NaN}'])
def test_a_line_that_no_training_writes_is_passed_over(folder, line):
    write_status(folder, {0: 0.5}, extra=line)
    assert recorded_losses(folder) == {0: 0.5}
    assert epochs_done(folder) == (0, None)


@pytest.mark.parametrize("kpi", ["[]", "null", '{"val_loss": []}', '{"val_loss": 1e400}', "{}"])
def test_a_validation_without_a_number_does_not_count(folder, kpi):
    write_status(
        folder, {0: 0.5}, extra=f'{{"message": "Eval metrics generated.", "epoch": 1, "kpi": {kpi}}}'
    )
    assert recorded_losses(folder) == {0: 0.5}


def test_other_files_are_no_checkpoints(folder):
    (folder / "model_epoch_x_step_1.pth").write_text("")
    assert list(checkpoints(folder)) == [0, 1, 2, 3]


def test_a_folder_without_checkpoints_is_refused_by_name(tmp_path):
    with pytest.raises(InputRefused, match="no checkpoint"):
        latest_checkpoint(tmp_path)
    with pytest.raises(InputRefused, match="no validated checkpoint"):
        best_checkpoint(tmp_path)


# --- as a container writes it ----------------------------------------------------------------


def loop_start():
    return {"message": "Starting Training Loop.", "status": "STARTED"}


def epoch_end(epoch, of=4):
    return {
        "message": "Training loop in progress",
        "epoch": epoch,
        "max_epoch": of - 1,
        "kpi": {"val_loss": 9},
    }


def validated(loss):
    return {"message": "Eval metrics generated.", "kpi": {"val_loss": loss}}


def trained():
    return {"message": "Train metrics generated.", "kpi": {"train_loss": 1.0}}


def write_records(folder, *records, interval=None):
    (folder / "status.json").write_text("".join(json.dumps(record) + "\n" for record in records))
    if interval is not None:
        (folder / "experiment.yaml").write_text(f"train:\n  validation_interval: {interval}\n")


def test_a_validation_before_the_record_of_its_epoch_belongs_to_that_epoch(folder):
    records = [(validated(0.5 - 0.1 * epoch), epoch_end(epoch), trained()) for epoch in range(3)]
    write_records(folder, loop_start(), *(record for three in records for record in three))
    assert recorded_losses(folder) == pytest.approx({0: 0.5, 1: 0.4, 2: 0.3})


def test_a_validation_after_the_record_of_its_epoch_belongs_to_that_epoch(folder):
    records = [(epoch_end(epoch), trained(), validated(0.5 - 0.1 * epoch)) for epoch in range(3)]
    write_records(folder, loop_start(), *(record for three in records for record in three))
    assert recorded_losses(folder) == pytest.approx({0: 0.5, 1: 0.4, 2: 0.3})


def test_with_an_interval_the_validated_epochs_are_those_it_divides_in_either_order(folder):
    early = [
        loop_start(),
        epoch_end(0),
        validated(0.5),
        epoch_end(1),
        epoch_end(2),
        validated(0.4),
        epoch_end(3),
    ]
    write_records(folder, *early, interval=2)
    assert recorded_losses(folder) == {1: 0.5, 3: 0.4}
    late = [
        loop_start(),
        epoch_end(0),
        epoch_end(1),
        validated(0.5),
        epoch_end(2),
        epoch_end(3),
        validated(0.4),
    ]
    write_records(folder, *late, interval=2)
    assert recorded_losses(folder) == {1: 0.5, 3: 0.4}


def test_a_resumed_training_goes_on_counting_where_its_epochs_say(folder):
    first = [loop_start(), validated(0.5), epoch_end(0), validated(0.9)]  # killed before epoch 1 was recorded
    write_records(folder, *first, loop_start(), validated(0.4), epoch_end(1), validated(0.3), epoch_end(2))
    assert recorded_losses(folder) == {0: 0.5, 1: 0.4, 2: 0.3}


def test_a_validation_whose_epoch_was_torn_belongs_to_its_own_training_and_not_to_the_resumed(folder):
    first = [loop_start(), validated(0.5), epoch_end(0), validated(0.4)]  # the record of epoch 1 was torn
    write_records(folder, *first, loop_start(), validated(0.3), epoch_end(2))
    assert recorded_losses(folder) == {0: 0.5, 1: 0.4, 2: 0.3}


def test_a_validation_without_any_epoch_near_it_does_not_count(folder):
    write_records(folder, loop_start(), validated(0.5))
    assert recorded_losses(folder) == {}


def test_the_epochs_done_are_counted_from_the_last_record_of_one(folder):
    write_records(folder, loop_start(), validated(0.5), epoch_end(0), trained(), validated(0.4))
    assert epochs_done(folder) == (1, 4)
    write_records(folder, loop_start())
    assert epochs_done(folder) == (0, None)
