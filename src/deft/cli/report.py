"""The verbs that show what a run came to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deft.cli.answers import find_run
from deft.cli.output import emit

_place = click.argument("place", type=click.Path(path_type=Path), default=Path("."))


@click.command()
@_place
def report(place: Path) -> None:
    """Render the HTML report of a run from its files and print where it is."""
    from deft.report.render import render_report

    path = render_report(find_run(place))
    emit({"status": "rendered", "report": str(path)}, lambda record: str(record["report"]))


@click.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
def compare(first: Path, second: Path) -> None:
    """Set the best models and the settings of two runs side by side."""
    from deft.report.compare import compare_runs, comparison_text

    record: dict[str, Any] = compare_runs(find_run(first), find_run(second))
    emit(record, comparison_text)
