from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from omegaconf import DictConfig

from deft.embedding.pair_network import read_checkpoint
from deft.errors import InputRefused, UsageError
from deft.metrics.kpi import auroc
from deft.tools.visual_changenet.checkpoint import LATEST
from deft.tools.visual_changenet.predict import inference
from deft.tools.visual_changenet.status import TIME_FIELDS
from deft.tools.visual_changenet.train import train
from deft.tools.visual_changenet.trainer import Trainer
from deft.workspace.checkpoints import best_checkpoint, latest_checkpoint

Compose = Callable[..., DictConfig]
ALL_STEPS = 12


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file's bytes, links as their target, status records without their time fields."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[path.name] = str(path.readlink()).encode()
        elif path.name == "status.json":
            records = [json.loads(line) for line in path.read_text().splitlines()]
            kept = [{k: v for k, v in record.items() if k not in TIME_FIELDS} for record in records]
            found[path.name] = json.dumps(kept).encode()
        elif path.name == "experiment.yaml":
            found[path.name] = re.sub(rb"/\S+/results\S*", b"RESULTS", path.read_bytes())
        elif path.is_file():
            found[path.name] = path.read_bytes()
    return found


def statuses(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "status.json").read_text().splitlines()]


def at_step(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> None:
    """Let `act` happen once, when the global step `number` has just been taken."""
    step, done = Trainer.step, []

    def watched(self: Trainer) -> None:
        step(self)
        if self.position.step == number and not done:
            done.append(number)
            act()

    monkeypatch.setattr(Trainer, "step", watched)


def die() -> None:
    raise MemoryError("as good as killed")


@pytest.fixture
def uninterrupted(compose: Compose, tmp_path: Path) -> dict[str, bytes]:
    train(compose(tmp_path / "whole" / "results"))
    return contents(tmp_path / "whole" / "results" / "train")


# --- what it leaves --------------------------------------------------------------------------


def test_training_leaves_one_checkpoint_an_epoch_and_a_link_to_the_newest(
    compose: Compose, tmp_path: Path
) -> None:
    train(compose())
    folder = tmp_path / "results" / "train"
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        LATEST,
        "experiment.yaml",
        "model_epoch_000_step_00004.pth",
        "model_epoch_001_step_00008.pth",
        "model_epoch_002_step_00012.pth",
        "status.json",
    ]
    assert (folder / LATEST).readlink() == Path("model_epoch_002_step_00012.pth")
    assert read_checkpoint(folder / LATEST)["tao_model"] == "visual_changenet_classify"


def test_status_records_follow_the_containers_and_close_with_success(
    compose: Compose, tmp_path: Path
) -> None:
    train(compose(train__num_epochs=2, train__validation_interval=2))
    records = statuses(tmp_path / "results" / "train")
    assert [(record["status"], record["message"]) for record in records] == [
        ("STARTED", "Starting Visual ChangeNet train."),
        ("STARTED", "Starting Training Loop."),
        ("RUNNING", "Training loop in progress"),
        ("RUNNING", "Train metrics generated."),
        ("RUNNING", "Training loop in progress"),
        ("RUNNING", "Train metrics generated."),
        ("RUNNING", "Eval metrics generated."),
        ("RUNNING", "Training loop complete."),
        ("RUNNING", "Train finished successfully."),
        ("SUCCESS", "Train is complete."),
    ]
    assert set(records[3]["kpi"]) == {"train_loss", "train_acc", "train_fpr"}
    assert set(records[6]["kpi"]) == {"val_loss", "val_acc", "val_fpr"}
    assert records[-1]["kpi"] == records[6]["kpi"]
    assert (records[2]["epoch"], records[2]["max_epoch"], records[2]["max_step"]) == (0, 1, 8)
    assert re.fullmatch(r"\d{1,2}/\d{1,2}/\d{4}", records[0]["date"])


def test_the_experiment_file_is_the_merged_spec_with_the_folder_in_effect(
    compose: Compose, tmp_path: Path
) -> None:
    from deft.files import read_yaml

    train(compose(train__results_dir=str(tmp_path / "elsewhere"), train__num_epochs=1))
    saved = read_yaml(tmp_path / "elsewhere" / "experiment.yaml")
    assert saved["results_dir"] == str(tmp_path / "elsewhere")
    assert saved["train"]["num_epochs"] == 1
    assert saved["evaluate"]["checkpoint"] == "???"


def test_the_best_checkpoint_has_the_lowest_validation_loss(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([0.3, 0.1, 0.2])
    figures = lambda trainer: {"val_loss": next(losses), "val_acc": 0.0, "val_fpr": 0.0}  # noqa: E731
    monkeypatch.setattr(Trainer, "validate", figures)
    train(compose())
    folder = tmp_path / "results" / "train"
    assert best_checkpoint(folder).name == "model_epoch_001_step_00008.pth"
    assert latest_checkpoint(folder).name == "model_epoch_002_step_00012.pth"


def test_planted_defects_are_learnt_from_few_boards(compose: Compose, tmp_path: Path) -> None:
    spec = {
        "train__num_epochs": 6,
        "train__embedded__steps_per_epoch": 20,
        "dataset__classify__batch_size": 12,
        "model__embedded__width": 8,
    }
    train(compose(**spec))
    inference(compose(**spec, inference__checkpoint=str(tmp_path / "results" / "train" / LATEST)))
    table = pd.read_csv(tmp_path / "results" / "inference" / "inference.csv")
    assert auroc(table["siamese_score"].to_numpy(), (table["label"] != "PASS").to_numpy()) > 0.95


# --- repeating, resuming ---------------------------------------------------------------------


def test_the_same_spec_gives_the_same_bytes(
    compose: Compose, tmp_path: Path, uninterrupted: dict[str, bytes]
) -> None:
    train(compose(tmp_path / "again" / "results"))
    assert contents(tmp_path / "again" / "results" / "train") == uninterrupted


def test_another_seed_gives_other_weights(
    compose: Compose, tmp_path: Path, uninterrupted: dict[str, bytes]
) -> None:
    train(compose(tmp_path / "again" / "results", train__seed=7))
    name = "model_epoch_002_step_00012.pth"
    assert contents(tmp_path / "again" / "results" / "train")[name] != uninterrupted[name]


@pytest.mark.parametrize("step", [2, 4, 7, 12])
def test_a_killed_training_started_again_ends_with_the_same_bytes(
    compose: Compose,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uninterrupted: dict[str, bytes],
    step: int,
) -> None:
    at_step(monkeypatch, step, die)
    results = tmp_path / "killed" / "results"
    with pytest.raises(MemoryError):
        train(compose(results))
    train(compose(results))
    assert contents(results / "train") == uninterrupted


@pytest.mark.parametrize("step", [1, 6, 8])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_after_the_step_with_a_checkpoint_that_continues_exactly(
    compose: Compose,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uninterrupted: dict[str, bytes],
    step: int,
    number: signal.Signals,
    code: int,
) -> None:
    at_step(monkeypatch, step, lambda: os.kill(os.getpid(), number))
    results = tmp_path / "stopped" / "results"
    with pytest.raises(SystemExit) as end:
        train(compose(results))
    assert end.value.code == code
    assert statuses(results / "train")[-1]["status"] == "FAILURE"
    assert read_checkpoint(results / "train" / LATEST)["global_step"] == step
    train(compose(results))
    assert contents(results / "train") == uninterrupted


def test_the_signal_handlers_of_the_caller_come_back(compose: Compose) -> None:
    before = signal.getsignal(signal.SIGTERM)
    train(compose(train__num_epochs=1))
    assert signal.getsignal(signal.SIGTERM) is before
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_finished_training_trains_nothing_more(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(compose())
    before = contents(tmp_path / "results" / "train")
    monkeypatch.setattr(Trainer, "step", lambda trainer: pytest.fail("took a step"))
    train(compose())
    assert contents(tmp_path / "results" / "train") == before


def test_more_epochs_continue_from_the_newest_checkpoint(compose: Compose, tmp_path: Path) -> None:
    train(compose(train__num_epochs=1))
    train(compose(train__num_epochs=2))
    assert latest_checkpoint(tmp_path / "results" / "train").name == "model_epoch_001_step_00008.pth"


def test_a_named_checkpoint_is_resumed_in_another_folder(compose: Compose, tmp_path: Path) -> None:
    train(compose())
    first = tmp_path / "results" / "train" / "model_epoch_000_step_00004.pth"
    train(compose(tmp_path / "other", train__resume_training_checkpoint_path=str(first)))
    messages = [record["message"] for record in statuses(tmp_path / "other" / "train")]
    assert f"Resuming training from checkpoint: {first}" in messages
    other = read_checkpoint(tmp_path / "other" / "train" / LATEST)["state_dict"]
    whole = read_checkpoint(tmp_path / "results" / "train" / LATEST)["state_dict"]
    assert all(torch.equal(other[name], whole[name]) for name in whole)


def test_checkpoints_can_be_counted_in_steps(compose: Compose, tmp_path: Path) -> None:
    train(compose(train__checkpoint_interval=3, train__checkpoint_interval_unit="step", train__num_epochs=2))
    names = sorted(path.name for path in (tmp_path / "results" / "train").glob("model_*"))
    assert names == [
        "model_epoch_000_step_00003.pth",
        "model_epoch_001_step_00006.pth",
        "model_epoch_001_step_00008.pth",
    ]


# --- warm start ------------------------------------------------------------------------------


def test_a_warm_start_takes_the_weights_a_fresh_epoch_count_and_the_warm_rate(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(compose())
    before = read_checkpoint(tmp_path / "results" / "train" / LATEST)["state_dict"]
    seen: dict[str, Any] = {}
    warm_start = Trainer.warm_start

    def watched(self: Trainer, path: Path) -> None:
        warm_start(self, path)
        seen["weights"] = {name: value.clone() for name, value in self._network.state_dict().items()}
        seen["rate"] = self._optimizer.param_groups[0]["max_lr"]

    monkeypatch.setattr(Trainer, "warm_start", watched)
    source = str(tmp_path / "results" / "train" / LATEST)
    train(compose(tmp_path / "warm", train__pretrained_model_path=source))
    assert all(torch.equal(seen["weights"][name], before[name]) for name in before)
    assert seen["rate"] == 0.002
    assert latest_checkpoint(tmp_path / "warm" / "train").name == "model_epoch_002_step_00012.pth"


def test_a_warm_start_from_another_width_is_refused(compose: Compose, tmp_path: Path) -> None:
    train(compose(train__num_epochs=1))
    source = str(tmp_path / "results" / "train" / LATEST)
    with pytest.raises(InputRefused, match=r"model\.embedded\.width=4, the spec says 8"):
        train(compose(tmp_path / "warm", train__pretrained_model_path=source, model__embedded__width=8))


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("task", "segment", "task must be classify"),
        ("train__checkpoint_interval", 4, "train.checkpoint_interval must not exceed"),
        ("train__validation_interval", 4, "train.validation_interval must not exceed"),
        ("train__validation_interval", 0, "train.validation_interval must be at least 1"),
        ("train__checkpoint_interval_unit", "hour", "must be epoch or step"),
        ("train__precision", "auto", "train.precision must be"),
        ("train__embedded__threads", -1, "threads must be 0"),
        ("train__embedded__defect_share", 1.0, "between 0 and 1"),
        ("train__embedded__steps_per_epoch", 0, "steps_per_epoch must be at least 1"),
        ("train__resume_training_checkpoint_path", "model.bin", "must end in"),
        ("model__embedded__rotations", 3, "rotations must be 1, 2 or 4"),
        ("dataset__classify__image_width", 8, "image_width must be at least"),
        ("dataset__classify__batch_size", 1, "batch_size must be at least 2"),
        ("dataset__classify__train_dataset__csv_path", "", "train_dataset.csv_path is not set"),
        ("results_dir", "", "neither results_dir nor train.results_dir"),
    ],
)
def test_a_key_that_cannot_be_obeyed_is_refused_by_its_name(
    compose: Compose, key: str, value: object, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train(compose(**{key: value}))


def test_a_split_smaller_than_a_batch_is_refused_in_the_containers_words(
    compose: Compose, tmp_path: Path
) -> None:
    words = r"Dataset size \(12\) is smaller than the total batch size \(13\)"
    with pytest.raises(InputRefused, match=words):
        train(compose(dataset__classify__batch_size=13))
    record = statuses(tmp_path / "results" / "train")[-1]
    assert record["status"] == "FAILURE"
    assert record["message"].startswith("Parameter validation error: Dataset size (12)")


@pytest.mark.parametrize(("kept", "missing"), [("PASS", "defect"), ("bridge", "PASS")])
def test_a_training_table_of_one_class_is_refused(
    compose: Compose, boards: Path, tmp_path: Path, kept: str, missing: str
) -> None:
    table = pd.read_csv(boards / "train.csv", dtype=str)
    table[table["label"] == kept].to_csv(tmp_path / "one.csv", index=False)
    with pytest.raises(InputRefused, match=f"no {missing} rows"):
        train(compose(dataset__classify__train_dataset__csv_path=str(tmp_path / "one.csv")))


def test_a_missing_image_is_refused_with_its_row(compose: Compose, boards: Path, tmp_path: Path) -> None:
    table = pd.read_csv(boards / "train.csv", dtype=str)
    table.loc[3, "object_name"] = "absent"
    table.to_csv(tmp_path / "gap.csv", index=False)
    with pytest.raises(InputRefused, match=r"row 5: .*absent\.png"):
        train(compose(dataset__classify__train_dataset__csv_path=str(tmp_path / "gap.csv")))


def test_progress_is_reported_a_step_at_a_time_when_a_platform_listens(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEFT_PROGRESS", "1")
    train(compose())
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("PROGRESS ")]
    assert len(lines) == ALL_STEPS
    assert json.loads(lines[2].removeprefix("PROGRESS ")) == {"done": 3, "total": ALL_STEPS, "unit": "step"}
