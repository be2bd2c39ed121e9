"""Lines of a call go to its log, progress to whoever started the process."""

from __future__ import annotations

import io

import pytest

from deft.progress import parse_progress_line
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
