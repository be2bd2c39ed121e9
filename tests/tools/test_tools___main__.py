"""`python -m deft.tools` as other processes meet it: exit codes, the status line, batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

import deft.tools.gap_analysis
from conformance import REPOSITORY, difference
from deft.tools.__main__ import main

PASSED, FAILED = "Execution status: PASS\n", "Execution status: FAIL\n"
TABLE = "input_path,object_name,label,siamese_score\na,o0,PASS,0.1\na,o1,bridge,0.9\n"
SPEC = "dataset:\n  classify:\n    input_map: {SolderLight: 0}\n    image_ext: .jpg\n"


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "inference.csv").write_text(TABLE)
    (tmp_path / "train.yaml").write_text(SPEC)
    folder, results = str(tmp_path), str(tmp_path / "the results")
    return {
        "inference_results_dir": folder,
        "train_config": f"{folder}/train.yaml",
        "results_dir": results,
    }


def words(keys: dict[str, str]) -> list[str]:
    return ["gap_analysis", "vcn_aoi", *(f"{key}={value}" for key, value in keys.items())]


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "DEFT_PROGRESS": "1"}
    command = [sys.executable, "-m", "deft.tools", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_command_ends_with_pass_and_0(keys: dict[str, str], tmp_path: Path) -> None:
    ended = in_a_process(*words(keys))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith(PASSED)
    assert (tmp_path / "the results" / "threshold.txt").read_text() == "0.1"


def test_bad_input_ends_with_a_message_and_1_and_no_traceback(keys: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "inference.csv").unlink()
    ended = in_a_process(*words(keys))
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.startswith("ERROR No such file or directory: ")
    assert ended.stdout.endswith(FAILED)


@pytest.mark.parametrize(
    "arguments",
    [[], ["gap"], ["gap_analysis"], ["gap_analysis", "vcn"], ["tmm", "nearest_neighbors", "--speed", "9"]],
)
def test_words_that_name_no_command_end_with_usage_and_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "usage: " in capsys.readouterr().err


def test_a_batch_runs_in_order_each_call_into_its_log_until_one_fails(
    keys: dict[str, str], tmp_path: Path
) -> None:
    calls = [
        _call(keys, tmp_path / "logs" / "first.log"),
        _call({**keys, "top_k_per_label": "few"}, tmp_path / "logs" / "second.log"),
        _call(keys, tmp_path / "logs" / "third.log"),
    ]
    (tmp_path / "calls.json").write_text(json.dumps(calls))
    ended = in_a_process("--batch", str(tmp_path / "calls.json"))
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "")
    assert (tmp_path / "logs" / "first.log").read_text().endswith(PASSED)
    failed = (tmp_path / "logs" / "second.log").read_text()
    assert "Error merging override top_k_per_label=few" in failed
    assert failed.endswith(FAILED)
    assert not (tmp_path / "logs" / "third.log").exists()


def _call(overrides: dict[str, str], log: Path) -> dict[str, Any]:
    call = {"category": "gap_analysis", "action": "vcn_aoi", "spec": None, "log": str(log)}
    return {**call, "overrides": overrides}


def test_a_batch_that_cannot_be_read_or_names_no_command_fails(
    keys: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch, log = tmp_path / "calls.json", tmp_path / "call.log"
    assert main(["--batch", str(batch)]) == 1
    assert capsys.readouterr().out.endswith(FAILED)
    batch.write_text(json.dumps([_call(keys, log) | {"action": "vcn"}]))
    assert main(["--batch", str(batch)]) == 1
    assert "ERROR no such command: gap_analysis vcn" in log.read_text()


def test_a_batch_whose_log_cannot_be_opened_says_so_to_whoever_started_it(
    keys: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = tmp_path / "calls.json"
    batch.write_text(json.dumps([_call(keys, tmp_path)]))
    assert main(["--batch", str(batch)]) == 1
    said = capsys.readouterr().out
    assert "ERROR the file system refused: [Errno 21] Is a directory" in said
    assert said.endswith(FAILED)


def test_a_second_call_appends_to_the_log(keys: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "call.log"
    (tmp_path / "calls.json").write_text(json.dumps([_call(keys, log), _call(keys, log)]))
    assert main(["--batch", str(tmp_path / "calls.json")]) == 0
    assert log.read_text().count(PASSED) == 2


def test_the_configuration_is_shown_and_nothing_is_done(
    keys: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flag in (["--cfg=job"], ["--cfg", "job"], ["-c", "job"]):
        assert main([*words(keys), *flag]) == 0
        shown = capsys.readouterr().out
        assert "top_k_per_label: 50\n" in shown
        assert shown.endswith(PASSED)
    assert not (tmp_path / "the results").exists()


def test_the_configuration_is_shown_with_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gap_analysis", "vcn_aoi", "--cfg=job"]) == 0
    assert "results_dir: ???\n" in capsys.readouterr().out


def test_an_interrupted_command_fails(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(config: DictConfig) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(deft.tools.gap_analysis, "run", interrupted)
    assert difference("interrupt-fails")
    assert main(words(keys)) == 1
    assert capsys.readouterr().out.endswith(FAILED)


def test_a_defect_of_the_program_shows_its_traceback_and_fails(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(config: DictConfig) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(deft.tools.gap_analysis, "run", broken)
    assert main(words(keys)) == 1
    assert capsys.readouterr().out.endswith(FAILED)


def test_a_folder_that_cannot_be_made_is_one_message(
    keys: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    keys["results_dir"] = f"{keys['train_config']}/below"
    assert main(words(keys)) == 1
    assert "the file system refused" in capsys.readouterr().out
