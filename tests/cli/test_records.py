"""The doorways to a run's records, with the original's flags."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from deft.cli.main import main
from deft.loop import run_loop
from deft.run.audit import audit_run
from loop_fixtures import SILENT, new_run

TRAIN = ["--iter-label", "baseline", "--stage", "train", "--status", "ok", "--summary", "trained"]


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    path = tmp_path / "inference.csv"
    rows = [("PASS", 0.1), ("PASS", 0.3), ("bridge", 0.2), ("missing", 0.9)]
    lines = ["label,siamese_score", *(f"{label},{score}" for label, score in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def init(folder: Path, *more: str) -> list[str]:
    flags = {"--results-dir": folder, "--workspace": folder, "--kpi-target": "FAR<0.1%@recall=100%"}
    counts = {"--max-iterations": 3, "--num-gpus": 1, "--num-epochs": 20}
    given = [str(word) for pair in {**flags, **counts}.items() for word in pair]
    return ["init-deft-state", *given, *more]


def answer(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_the_kpi_analysis_prints_the_original_lines_and_writes_beside_the_table(
    scores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze-kpi", str(scores)]) == 0
    printed = capsys.readouterr().out
    assert "100% recall threshold: " in printed
    assert "(FAR=50.0000%" in printed
    assert (scores.parent / "inference_analysis" / "summary.txt").is_file()


def test_the_kpi_analysis_answers_a_program_that_asks_with_its_record(
    scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze-kpi", str(scores), "--output-dir", str(tmp_path / "out"), "--json"]) == 0
    assert answer(capsys)["far_at_100"]["far"] == 0.5


@pytest.mark.parametrize(("pass_label", "share"), [("PAS", "no row"), ("pass", None)])
def test_a_pass_label_that_no_row_has_is_told_with_the_labels_there_are(
    scores: Path, capsys: pytest.CaptureFixture[str], pass_label: str, share: str | None
) -> None:
    assert main(["analyze-kpi", str(scores), "--pass-label", pass_label]) == 0
    warned = capsys.readouterr().err
    assert (share is not None) == bool(warned)
    if share:
        assert f"{share} has the pass label 'PAS'" in warned
        assert "'PASS' (2), 'bridge' (1), 'missing' (1)" in warned
        assert len(warned.splitlines()) == 1


def test_a_table_of_passing_rows_alone_is_told_and_its_labels_are_cut_to_five(
    scores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores.write_text("label,siamese_score\nPASS,0.1\npass,0.2\n", encoding="utf-8")
    assert main(["analyze-kpi", str(scores)]) == 0
    assert "every row has the pass label" in capsys.readouterr().err
    rows = "".join(f"type{number},0.{number}\n" for number in range(7))
    scores.write_text(f"label,siamese_score\n{rows}", encoding="utf-8")
    assert main(["analyze-kpi", str(scores)]) == 0
    warned = capsys.readouterr().err
    assert "'type4' (1) and 2 more" in warned
    assert "type5" not in warned


def test_a_first_state_says_that_no_plan_guards_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(init(tmp_path)) == 0
    printed = capsys.readouterr()
    assert "no plan guards" in printed.err
    state = json.loads(Path(json.loads(printed.out)["state"]).read_text())
    assert state["config"]["batch_size"] == 16
    assert state["config"]["train_container"].endswith("-pyt")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--kpi-target", "banana"], 2),
        (["--max-iterations", "-3"], 2),
        (["--num-epochs", "-1"], 2),
        (["--num-epochs", "0"], 2),
        (["--knn-metric", "hamming"], 2),
        (["--min-similarity", "nan"], 2),
        (["--workspace", "nope"], 3),
    ],
)
def test_an_impossible_setting_is_refused_and_writes_nothing(
    tmp_path: Path, more: list[str], code: int
) -> None:
    assert main(init(tmp_path, *more)) == code
    assert not (tmp_path / "deft_state.json").exists()


def test_a_second_state_needs_force(tmp_path: Path) -> None:
    assert main(init(tmp_path)) == 0
    assert main(init(tmp_path)) == 4
    assert main(init(tmp_path, "--force")) == 0


def test_a_stage_by_hand_is_logged_as_manual(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "loop_log.jsonl"
    assert main(["log-stage", "--log-path", str(log), *TRAIN, "--duration-sec", "612"]) == 0
    record = answer(capsys)
    assert (record["seq"], record["kind"]) == (1, "manual")
    assert "next" not in record
    (line,) = log.read_text().splitlines()
    assert json.loads(line)["duration_sec"] == 612


def test_a_stage_by_hand_in_a_planned_run_names_the_audit_of_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = new_run(tmp_path, monkeypatch)
    assert main(["log-stage", "--log-path", str(run.log), *TRAIN]) == 0
    assert answer(capsys)["next"] == f"deft audit {run.root}"


def test_a_log_in_a_folder_that_was_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["log-stage", "--log-path", str(tmp_path / "typo" / "loop_log.jsonl")]
    assert main([*words, *TRAIN]) == 0
    assert "typo did not exist" in capsys.readouterr().err
    assert main([*words, *TRAIN, "--stage", "evaluate"]) == 0
    assert "did not exist" not in capsys.readouterr().err


def test_a_stage_out_of_order_is_a_conflict_and_an_unknown_one_a_usage_error(tmp_path: Path) -> None:
    log = ["log-stage", "--log-path", str(tmp_path / "loop_log.jsonl")]
    assert main([*log, *TRAIN, "--stage", "rca"]) == 4
    assert main([*log, *TRAIN, "--stage", "poetry"]) == 2
    assert main([*log, *TRAIN, "--duration-sec", "-1"]) == 2


def transcript(path: Path, log: Path, line: int = 1) -> Path:
    moment = json.loads(log.read_text().splitlines()[line - 1])["ts"]
    usage = {
        "input_tokens": 5,
        "output_tokens": 7,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
    }
    row = {
        "type": "assistant",
        "timestamp": moment,
        "message": {"id": "msg_1", "role": "assistant", "model": "m", "usage": usage},
    }
    path.write_text("\n".join([json.dumps(row)] * 3) + "\n", encoding="utf-8")
    return path


def test_tokens_are_shown_without_writing_and_recorded_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "loop_log.jsonl"
    main(["log-stage", "--log-path", str(log), *TRAIN, "--duration-sec", "60"])
    words = [
        "align-token-usage",
        "--log-path",
        str(log),
        "--transcript",
        str(transcript(tmp_path / "t.jsonl", log)),
    ]
    capsys.readouterr()
    assert main([*words, "--dry-run"]) == 0
    assert answer(capsys)["stages"]["1"]["n_messages"] == 1
    assert len(log.read_text().splitlines()) == 1
    assert main(words) == 0
    assert main(words) == 0
    assert len(log.read_text().splitlines()) == 2


def test_the_state_of_a_planned_run_takes_its_tokens_with_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    replies = transcript(tmp_path / "t.jsonl", run.log, line=2)
    assert main(["align-token-usage", "--log-path", str(run.log), "--transcript", str(replies)]) == 0
    train = json.loads(run.state.read_text())["iterations"]["baseline"]["stages"]["train"]
    assert train["tokens"]["n_messages"] == 1
    assert audit_run(run)["status"] == "agrees"


def test_tokens_of_a_run_that_was_copied_elsewhere_are_shown_but_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    main(["log-stage", "--log-path", str(run.log), *TRAIN])
    root = shutil.copytree(run.workspace.root, tmp_path / "copied", symlinks=True)
    log = root / run.log.relative_to(run.workspace.root)
    replies = transcript(tmp_path / "t.jsonl", log, line=2)
    words = ["align-token-usage", "--log-path", str(log), "--transcript", str(replies)]
    before = log.read_bytes()
    capsys.readouterr()
    assert main([*words, "--dry-run"]) == 0
    assert answer(capsys)["status"] == "shown"
    assert main(words) == 4
    assert log.read_bytes() == before


@pytest.mark.parametrize("verb", [["log-stage", *TRAIN], ["align-token-usage"]])
def test_a_folder_as_the_log_is_refused_with_the_log_that_it_may_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    assert main([*verb, "--log-path", str(tmp_path)]) == 3
    error = answer(capsys)["error"]
    assert error["fact"] == "expected a file, found a folder"
    assert error["hint"] == f"--log-path {tmp_path}/loop_log.jsonl"


def test_a_missing_log_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "align-token-usage",
        "--log-path",
        str(tmp_path / "gone.jsonl"),
        "--transcript",
        str(tmp_path / "t"),
    ]
    assert main(words) == 3
    assert "gone.jsonl" in capsys.readouterr().err


def test_a_folder_without_a_state_has_nothing_to_hand_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare-inference-spec", "--results-dir", str(tmp_path)]) == 3
    assert "deft_state.json" in capsys.readouterr().err
