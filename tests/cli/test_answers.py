"""What the verbs answer: the state of a run, in a kilobyte, with the command that goes on."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from deft import files
from deft.cli.answers import ANSWER_BYTES, answer, answer_text, find_run, unfinished
from deft.errors import InputRefused, StateConflict
from deft.loop import run_loop
from deft.run.lock import RunLock
from deft.run.log import LoopLog
from deft.workspace.layout import RunFolder, Workspace
from forging import aimed_at
from loop_fixtures import SILENT, new_run


def size(record: dict) -> int:
    return len(json.dumps(record, ensure_ascii=False).encode()) + 1


def fail_stage(run: RunFolder, summary: str) -> None:
    LoopLog(run.log).append(
        {
            "iter": "baseline",
            "stage": "train",
            "status": "error",
            "summary": summary,
            "outcome": {"exit_code": 1},
        }
    )


def test_a_finished_run_answers_with_its_figures_and_where_they_are(finished):
    record = answer(finished)
    state = files.read_json(finished.state)
    best = state["iterations"][state["incumbent"]]
    assert (record["status"], record["stop_reason"]) == ("complete", "max_iterations")
    assert (record["best"], record["far_pct"]) == (state["incumbent"], best["far_pct"])
    assert record["recall_pct"] == 100  # the hand-over's far_pct may be at another
    assert record["far_at_99_5_pct"] == pytest.approx(100 * best["kpi"]["far_at_99_5"]["far"], abs=1e-4)
    assert Path(record["report"]).is_file()
    assert Path(record["model"]).is_file()
    assert record["next"] == f"deft report {finished.root}"
    assert record["log"][-1].startswith("iter2 loop_stop: ")


@pytest.mark.parametrize(
    ("target", "value", "figure"),
    [
        ("cost(escape=100, false_alarm=1) < 50", 30.0, "cost(escape=100, false_alarm=1) = 30"),
        ("recall >= 99.5% at FAR <= 1%", 2 / 30, "recall = 6.67% at FAR <= 1%"),
        ("FAR < 1% at recall >= 99.5%", 0.02, "FAR = 2% at recall >= 99.5%"),
    ],
)
def test_the_best_models_own_figure_of_the_target_is_told_with_its_condition(
    finished, tmp_path, target, value, figure
):
    record = answer(aimed_at(finished, tmp_path, target, value, value, value))
    assert record["target_figure"] == figure
    assert f"target figure: {figure}" in answer_text(record)
    assert size(record) <= ANSWER_BYTES


def test_the_figure_is_told_as_soon_as_a_model_has_one(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, target="recall >= 99.9% at FAR <= 1%")
    assert "target_figure" not in answer(run)
    run_loop(run, SILENT, until_judgement=True)
    record = answer(run)
    assert record["status"] == "judgement"
    assert record["target_figure"].startswith("recall = ")


def test_far_at_full_recall_and_an_older_run_have_no_figure_of_their_own(finished, tmp_path):
    assert "target_figure" not in answer(finished)
    older = aimed_at(finished, tmp_path, "cost(escape=100, false_alarm=1) < 50")
    assert "target_figure" not in answer(older)


def test_a_target_without_end_leaves_the_answer_within_its_kilobyte(finished, tmp_path):
    weights = f"escape={'7' * 100}, false_alarm={'3' * 100}"
    record = answer(aimed_at(finished, tmp_path, f"cost({weights}) < 50", 60.0, 60.0, 60.0))
    assert record["target_figure"].endswith(" = 60")
    assert size(record) <= ANSWER_BYTES


def test_a_person_never_reads_the_rate_at_full_recall_alone():
    record = {
        "status": "complete",
        "run": "/w/results/run_1",
        "log": [],
        "far_pct": 100 * 2 / 15,
        "far_at_99_5_pct": 0.0833,
        "report": "/w/results/run_1/report.html",
        "next": "deft report /w/results/run_1",
    }
    lines = answer_text(record).splitlines()
    assert "FAR 13.3 % at 100 % recall, 0.0833 % at 99.5 %" in lines
    assert "report: /w/results/run_1/report.html" in lines
    assert not any("far pct" in line for line in lines)


def test_a_new_run_is_stopped_and_is_started_by_the_next_command(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    record = answer(run)
    assert (record["status"], record["log"]) == ("stopped", [])
    assert record["next"] == f"deft run {run.root} --until judgement"


def test_a_held_run_shows_its_progress(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    with RunLock(run):
        files.write_json(run.runner / "progress.json", {"task": "train baseline", "done": 3, "total": 10})
        record = answer(run)
    assert record["status"] == "running"
    assert record["progress"] == {"task": "train baseline", "done": 3, "total": 10}
    assert "progress: task train baseline, done 3, total 10" in answer_text(record)


def test_a_run_that_waits_for_eyes_names_the_pictures_and_the_verdicts(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    run_loop(run, SILENT, until_judgement=True)
    record = answer(run)
    assert record["status"] == "judgement"
    assert {path.name for path in Path(record["look_at"]).iterdir()} == set(record["images"])
    assert record["verdicts"] == ["mislabeled", "edge case", "data quality", "systematic"]
    assert record["next"] == f"deft spot-check {run.root} 1=VERDICT 2=VERDICT ..."


def test_a_failed_stage_is_told_by_its_line_where_the_runner_left_no_word(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    fail_stage(run, "loss is no number")
    record = answer(run)
    assert (record["status"], record["error"]) == ("failed", "loss is no number")
    assert "error: loss is no number" in answer_text(record)


def test_the_last_word_of_a_runner_that_failed_outside_any_stage_is_told(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    error = {"fact": "the disk quota is used up", "value": "/data/x", "hint": "free space"}
    files.write_json(run.runner / "outcome.json", {"status": "failed", "exit_code": 5, "error": error})
    record = answer(run)
    assert (record["status"], record["error"]) == ("failed", error)
    assert "error: fact the disk quota is used up, value /data/x, hint free space" in answer_text(record)


def test_a_path_with_a_blank_is_quoted_in_the_next_command(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path / "line 4", monkeypatch)
    assert shlex.split(answer(run)["next"]) == ["deft", "run", str(run.root), "--until", "judgement"]


# --- a kilobyte ----------------------------------------------------------------------------------------


def copied_below(run: RunFolder, folder: Path, length: int) -> RunFolder:
    """Return a copy of a finished run whose own path has about so many bytes."""
    while len(os.fsencode(folder)) + 60 < length:
        folder = folder / ("ü" * min(100, (length - len(os.fsencode(folder)) - 59) // 2))
    place = folder / "results" / run.root.name
    place.mkdir(parents=True)
    for path in (run.plan, run.log, run.state):
        shutil.copy(path, place)
    return RunFolder(place)


@pytest.mark.parametrize("length", [200, 420, 700, 1500, 3500])
def test_an_answer_fits_into_a_kilobyte_however_long_the_path_is(finished, tmp_path, length):
    run = copied_below(finished, tmp_path, length)
    record = answer(run)
    assert size(record) <= ANSWER_BYTES
    assert record["status"] == "complete"
    assert record["report"].endswith(run.report.name)
    place = str(run.root) if length < 900 else "."
    assert shlex.split(record["next"])[-3:] == ["deft", "report", place]
    answer_text(record)


def test_a_summary_and_an_error_without_end_are_cut_and_the_command_stays(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    fail_stage(run, "é" * 300)
    error = {"fact": "f" * 2000, "value": "/a/" + "v" * 2000 + "/end.csv", "hint": "h" * 2000}
    files.write_json(run.runner / "outcome.json", {"status": "failed", "exit_code": 1, "error": error})
    record = answer(run)
    assert size(record) <= ANSWER_BYTES
    assert record["error"]["value"].endswith("/end.csv")
    assert record["next"] == f"deft run {run.root} --until judgement"


def test_names_of_pictures_that_do_not_fit_become_their_number(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    run_loop(run, SILENT, until_judgement=True)
    named = [{"number": n, "image": f"rca_images/{'x' * 150}_{n}.png"} for n in range(1, 11)]
    monkeypatch.setattr("deft.cli.answers.samples", lambda folder: named)
    record = answer(run)
    assert size(record) <= ANSWER_BYTES
    assert record["images"] == 10


def test_a_short_answer_is_not_shortened(finished):
    record = answer(finished)
    assert record["run"] == str(finished.root)
    assert record["report"] == str(finished.report)


# --- which run -----------------------------------------------------------------------------------------


def test_the_newest_run_of_a_workspace_is_meant_and_a_run_by_its_own_folder(finished, tmp_path):
    workspace = Workspace(tmp_path)
    older, newer = (workspace.results / f"run_20260101_00000{n}" for n in (1, 2))
    for folder in (newer, older):
        folder.mkdir(parents=True)
        shutil.copy(finished.plan, folder)
    (workspace.results / "run_20260101_000003").mkdir()  # without a plan: not a run yet
    assert find_run(tmp_path).root == newer
    assert find_run(older).root == older


def test_a_workspace_without_a_run_says_how_to_get_one(tmp_path):
    folder = tmp_path / "line 4"
    folder.mkdir()
    with pytest.raises(StateConflict, match="no run yet") as caught:
        find_run(folder)
    assert shlex.split(caught.value.hint) == ["deft", "preflight", str(folder)]


def test_a_place_that_is_none_or_a_file_is_not_called_a_workspace(tmp_path):
    with pytest.raises(InputRefused, match="folder does not exist") as caught:
        find_run(tmp_path / "nope")
    assert caught.value.hint.startswith("name a workspace")
    table = files.write_text(tmp_path / "labels.csv", "a,b\n")
    with pytest.raises(InputRefused, match="a file stands where a folder is wanted"):
        find_run(table)


def test_the_newest_run_with_work_left_is_the_unfinished_one(finished, tmp_path, monkeypatch):
    assert unfinished(finished.workspace) is None
    run, _ = new_run(tmp_path, monkeypatch)
    assert unfinished(run.workspace) == run
    torn = run.workspace.results / "run_99990101_000000"
    torn.mkdir()
    (torn / "plan.json").write_text("{")
    assert unfinished(run.workspace) == run
