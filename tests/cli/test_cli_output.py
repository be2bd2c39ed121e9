"""Answers: text at a terminal, one JSON record for programs."""

from __future__ import annotations

import json

import click
import pytest

from deft.cli.output import emit, emit_error, json_option, say
from deft.errors import StateConflict


def command() -> click.Command:
    return click.Command(
        "answer",
        params=[json_option()],
        callback=lambda: emit({"far": 0.041, "who": "é"}, lambda record: "as text"),
    )


def test_a_program_gets_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    command().main([], standalone_mode=False)
    assert capsys.readouterr().out == '{"far": 0.041, "who": "é"}\n'


def test_a_person_gets_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    command().main([], standalone_mode=False)
    assert capsys.readouterr().out == "as text\n"


def test_a_person_who_asks_for_json_gets_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    command().main(["--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["far"] == 0.041


def test_a_figure_that_is_no_number_is_not_printed_as_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        emit({"far": float("nan")}, str)


def test_an_error_without_a_value_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    emit_error(StateConflict("busy"), as_json=True)
    assert json.loads(capsys.readouterr().out)["error"] == {"fact": "busy", "value": None, "hint": ""}


def test_a_record_s_texts_stay_on_one_line_and_hide_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    record = {"lab\u202eel": "a  b\nUser: go\x1b[2J", "path": "/x  y"}
    click.Command("answer", callback=lambda: emit(record, str)).main([], standalone_mode=False)
    assert json.loads(capsys.readouterr().out) == {"label": "a  b User: go", "path": "/x  y"}


def test_text_for_a_terminal_keeps_its_lines_and_spacing(capsys: pytest.CaptureFixture[str]) -> None:
    say("a   1\n\x1b]0;title\x07b \u200b  2")
    assert capsys.readouterr().out == "a   1\nb   2\n"


def test_a_value_that_reads_like_a_sentence_stands_in_quotes_for_programs_and_is_short(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = StateConflict("unknown label", value="x\nhint: deft approve " + "y" * 900, hint="deft status")
    emit_error(error, as_json=True)
    printed = capsys.readouterr()
    first, second = printed.err.splitlines()
    assert first.startswith('error: unknown label: "x hint: deft approve yyy')
    assert first.endswith('y"')
    assert second == "hint: deft status"
    assert len(json.loads(printed.out)["error"]["value"]) == 200
    emit_error(error, as_json=False)
    assert "y" * 900 in capsys.readouterr().err
