"""The verbs that show what a run came to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deft.cli.answers import find_run
from deft.cli.output import emit
from deft.cli.records import say_unguarded

if TYPE_CHECKING:
    from deft.report.facts_record import Report

KINDS = ("html", "rca", "mining", "summary")
HEADLINES = {
    "rca": ("far", "recall", "missed", "far_at_99_5.far", "calibrated.far", "deciding.label"),
    "mining": ("targets", "pool_rows", "kept", "kept_synthetic", "encoder", "cut", "training_rows"),
}


@click.command()
@click.argument("what", nargs=-1, metavar="[html|rca|mining|summary] [PLACE]")
def report(what: tuple[str, ...]) -> None:
    """Render the report of a run (html), of its last gap analysis or mining, or print its last facts.

    PLACE is a run or a workspace; for rca and mining also a folder of results. What was written into the
    two prose blocks of a report stays when it is rendered again.
    """
    kind, place = _kind_and_place(what)
    if kind == "html":
        _render_page(place)
    elif kind == "summary":
        _print_summary(place)
    else:
        _render_markdown(kind, place)


def _kind_and_place(what: tuple[str, ...]) -> tuple[str, Path]:
    kind, rest = (what[0], what[1:]) if what and what[0] in KINDS else ("html", what)
    if len(rest) > 1:
        raise click.UsageError(f"{rest[0]} is no kind of report ({', '.join(KINDS)})")
    return kind, Path(rest[0] if rest else ".")


def _render_page(place: Path) -> None:
    from deft.report.render import render_report

    path = render_report(find_run(place))
    emit({"status": "rendered", "report": str(path)}, lambda record: str(record["report"]))


def _print_summary(place: Path) -> None:
    from deft.report.summary import iteration_summary, summary_text

    emit(iteration_summary(find_run(place)), summary_text)


def _render_markdown(kind: str, place: Path) -> None:
    from deft.report.facts_record import facts_record, publish
    from deft.report.mining_report import mining_report
    from deft.report.rca_report import rca_report
    from deft.run.by_hand import require_guard

    render: dict[str, Callable[[Path], Report]] = {"rca": rca_report, "mining": mining_report}
    folder = _results_folder(kind, place.expanduser().resolve())
    guarded = require_guard(folder)
    say_unguarded(guarded or (folder / "plan.json").is_file(), folder)
    found = render[kind](folder)
    facts = facts_record(found)["facts"]
    figures = {name: facts[name] for name in HEADLINES[kind] if name in facts}
    told = {"figures": figures, "signals": dict(found.signals)}
    emit({"status": "rendered", **publish(folder, found), **told}, _rendered)


def _results_folder(kind: str, place: Path) -> Path:
    """Return the results that a place names: themselves, the newest below, or the last of its run."""
    from deft.errors import StateConflict
    from deft.report.mining_evidence import last_search, newest_search
    from deft.report.rca_evidence import last_analysis, newest_analysis

    newest, last = {"rca": (newest_analysis, last_analysis), "mining": (newest_search, last_search)}[kind]
    folder = newest(place) or last(find_run(place))
    if folder is None:
        raise StateConflict(f"run has no {kind} results yet", value=place, hint=f"deft status {place}")
    return folder


def _rendered(record: dict[str, Any]) -> str:
    waiting = [f"to write, {name}: {ask}" for name, ask in record["write"].items()]
    return "\n".join([str(record["report"]), *(waiting or ["complete"])])


@click.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
def compare(first: Path, second: Path) -> None:
    """Set the best models and the settings of two runs side by side."""
    from deft.report.compare import compare_runs, comparison_text

    record: dict[str, Any] = compare_runs(find_run(first), find_run(second))
    emit(record, comparison_text)
