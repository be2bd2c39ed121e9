"""Answers: text at a terminal, one JSON record for programs."""

from __future__ import annotations

import json

import click
import pytest

from deft.cli.output import emit, emit_error, json_option
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
