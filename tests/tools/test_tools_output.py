"""Lines of a call go to its log, progress to whoever started the process."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from conformance import difference
from deft.progress import parse_progress_line
from deft.tools.__main__ import main
from deft.tools.output import CallLog, report_progress, say


def test_progress_is_silent_for_people(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DEFT_PROGRESS", raising=False)
    report_progress(1, 2, "row")
    assert capsys.readouterr().out == ""


def test_progress_is_readable_for_a_platform(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEFT_PROGRESS", "1")
    report_progress(1, 2, "row")
    step = parse_progress_line(capsys.readouterr().out)
    assert step is not None
    assert (step.done, step.total, step.unit) == (1.0, 2.0, "row")


def test_what_is_said_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("Total images to process: 3")
    assert capsys.readouterr().out == "Total images to process: 3\n"


def test_progress_lines_pass_the_log_by() -> None:
    log, listener = io.StringIO(), io.StringIO()
    stream = CallLog(log, listener)
    stream.write("first\nPROG")
    stream.write('RESS {"done": 1}\nlast')
    stream.finish()
    assert log.getvalue() == "first\nlast\n"
    assert listener.getvalue() == 'PROGRESS {"done": 1}\n'


def test_what_is_said_stands_in_the_log_of_the_job_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOB_ID", "job-7")
    monkeypatch.setenv("TAO_MICROSERVICES_TTY_LOG", str(tmp_path))
    for _ in range(2):
        main(["tmm", "nearest_neighbors", "--cfg=job"])
    said = capsys.readouterr().out
    assert said.count("Execution status: PASS") == 2
    assert (tmp_path / "job-7" / "microservices_log.txt").read_text() == said


def test_a_log_of_a_job_that_cannot_be_written_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert difference("job-log-may-fail")
    (tmp_path / "results").write_text("no folder")
    monkeypatch.setenv("JOB_ID", "17")
    monkeypatch.setenv("TAO_MICROSERVICES_TTY_LOG", str(tmp_path / "results"))
    assert main(["tmm", "nearest_neighbors", "--cfg=job"]) == 0
    assert capsys.readouterr().out.startswith("WARNING the log of job 17 cannot be written")
