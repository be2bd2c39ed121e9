from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig
from omegaconf.errors import MissingMandatoryValue

from deft.errors import InputRefused, StageFailed, UsageError
from deft.tools.visual_changenet.status import StatusLog, recorded, results_folder

Compose = Callable[..., DictConfig]


def records(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "status.json").read_text().splitlines()]


def test_the_last_figures_are_repeated_until_others_come(tmp_path: Path) -> None:
    log = StatusLog(tmp_path)
    log.write("before")
    log.write("first", kpi={"val_loss": 1.0})
    log.write("between", data={"epoch": 3})
    log.write("second", kpi={"val_loss": 0.5})
    log.write("after")
    assert [record.get("kpi") for record in records(tmp_path)] == [
        None,
        {"val_loss": 1.0},
        {"val_loss": 1.0},
        {"val_loss": 0.5},
        {"val_loss": 0.5},
    ]
    assert records(tmp_path)[2]["epoch"] == 3


def test_a_log_continues_after_the_records_that_a_checkpoint_knows(tmp_path: Path) -> None:
    log = StatusLog(tmp_path)
    for message in ("one", "two", "lost"):
        log.write(message)
    again = StatusLog(tmp_path)
    again.continue_after(2)
    again.write("three")
    assert [record["message"] for record in records(tmp_path)] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputRefused("bad row", value=3), "Parameter validation error: bad row: 3"),
        (UsageError("bad key"), "Parameter validation error: bad key"),
        (ValueError("bad value"), "Parameter validation error: bad value"),
        (NotImplementedError("no such thing"), "Feature not implemented: no such thing"),
        (OSError(28, "No space left"), "File system error: [Errno 28] No space left"),
        (KeyboardInterrupt(), "User/System interruption: "),
        (StageFailed("diverged"), "Unexpected error: diverged"),
    ],
)
def test_a_failure_is_recorded_under_its_kind_and_goes_on(
    compose: Compose, tmp_path: Path, error: BaseException, message: str
) -> None:
    with pytest.raises(type(error)), recorded(compose(), "train"):
        raise error
    last = records(tmp_path / "results" / "train")[-1]
    assert (last["status"], last["message"]) == ("FAILURE", message)


def test_a_spec_error_is_a_configuration_error(compose: Compose, tmp_path: Path) -> None:
    config = compose()
    with pytest.raises(MissingMandatoryValue), recorded(config, "inference"):
        str(config.inference.checkpoint)
    assert str(records(tmp_path / "results" / "inference")[-1]["message"]).startswith("Configuration error:")


def test_an_unwritable_status_file_does_not_hide_the_error(
    compose: Compose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left")

    monkeypatch.setattr(StatusLog, "write", full)
    with pytest.raises(InputRefused, match="bad row"), recorded(compose(), "train"):
        raise InputRefused("bad row")
    assert "status.json cannot be written" in capsys.readouterr().out


def test_an_actions_own_folder_wins_over_the_common_one(compose: Compose, tmp_path: Path) -> None:
    assert results_folder(compose(), "train") == tmp_path / "results" / "train"
    assert results_folder(compose(train__results_dir="/elsewhere"), "train") == Path("/elsewhere")
