"""What a verb prints: text on a terminal, one JSON record otherwise or with `--json`; errors on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from deft.errors import DeftError
from deft.untrusted import LONGEST_FACT, untrusted, visible, visible_lines, visible_record

UNTRUSTED = "untrusted"
"""The key that names the fields of a record whose text comes from data, logs or other programs."""
LONGEST_FOR_A_PERSON = 2000
JSON_FLAG = "deft.json"


def _remember(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.find_root().meta[JSON_FLAG] = True


def json_option() -> click.Option:
    """Return the option `--json` that the verb table adds to every verb."""
    return click.Option(
        ["--json"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_remember,
        help="Print one JSON record (the default when stdout is not a terminal).",
    )


def json_was_asked_for() -> bool:
    """Return whether `--json` was given."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.find_root().meta.get(JSON_FLAG))


def wants_json() -> bool:
    """Return whether the answer is read by a program: `--json` was given or stdout is no terminal."""
    return json_was_asked_for() or not sys.stdout.isatty()


def emit(record: dict[str, Any], text: Callable[[dict[str, Any]], str]) -> None:
    """Print `text(record)` for people or the record as one line of JSON for programs; NaN is refused.

    Whatever a text of the record holds, it stays one line without a character that is not seen.
    """
    shown = visible_record(record)
    say(json.dumps(shown, ensure_ascii=False, allow_nan=False) if wants_json() else text(shown))


def say(text: str, *, err: bool = False) -> None:
    """Print lines without the control sequences and hidden characters that a name or a log may hold."""
    click.echo(visible_lines(text), err=err)


def emit_error(error: DeftError, *, as_json: bool) -> None:
    """Print an error for people on stderr and, for programs, its parts on stdout."""
    if not as_json:
        say(f"error: {_for_a_person(error)}", err=True)
        return
    parts = error_parts(error)
    value = "" if parts["value"] is None else f": {_quoted(parts['value'])}"
    hint = f"\nhint: {parts['hint']}" if parts["hint"] else ""
    say(f"error: {parts['fact']}{value}{hint}", err=True)
    record = {"status": "error", "error": parts, "exit_code": error.exit_code}
    say(json.dumps({**record, UNTRUSTED: ["error.fact", "error.value"]}, ensure_ascii=False))


def _for_a_person(error: DeftError) -> str:
    """Return the message with as much of the value as one reads at a terminal."""
    value = "" if error.value is None else f": {untrusted(error.value, LONGEST_FOR_A_PERSON)}"
    hint = f"\nhint: {visible(error.hint)}" if error.hint else ""
    return f"{untrusted(error.fact, LONGEST_FOR_A_PERSON)}{value}{hint}"


def error_parts(error: DeftError) -> dict[str, str | None]:
    """Return fact, value and hint, each on one line; the hint is a command of ours and is never cut."""
    value = None if error.value is None else untrusted(_without_secrets(error.value))
    fact = untrusted(_without_secrets(error.fact), LONGEST_FACT)
    return {"fact": fact, "value": value, "hint": visible(error.hint)}


def _without_secrets(words: object) -> str:
    """Take credentials out of what another program may have said: a model will read it."""
    from deft.guard.redaction import redacted

    return redacted(str(words), os.getcwd())


def _quoted(value: str) -> str:
    """Put quotes around a value that reads like a sentence: where it ends is then never in doubt."""
    return json.dumps(value, ensure_ascii=False) if " " in value else value
