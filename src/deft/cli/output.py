"""What a verb prints: text on a terminal, one JSON record otherwise or with `--json`; errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click

from deft.errors import DeftError

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
    """Print `text(record)` for people or the record as one line of JSON for programs; NaN is refused."""
    click.echo(json.dumps(record, ensure_ascii=False, allow_nan=False) if wants_json() else text(record))


def emit_error(error: DeftError, *, as_json: bool) -> None:
    """Print an error for people on stderr and, for programs, its parts on stdout."""
    click.echo(f"error: {error.message()}", err=True)
    if not as_json:
        return
    parts = {
        "fact": error.fact,
        "value": None if error.value is None else str(error.value),
        "hint": error.hint,
    }
    record = {"status": "error", "error": parts, "exit_code": error.exit_code}
    click.echo(json.dumps(record, ensure_ascii=False))
