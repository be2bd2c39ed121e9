"""Gather what tests measured, over all workers, and print it as one table at the end of the run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

GATHERED = pytest.StashKey[Path]()
HEADING = ("what was done to it", "wanted", "measured")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, str, str], None]:
    """Return a function that states one line of the table: what was done, wanted and measured."""
    gathered = request.config.stash[GATHERED]

    def state(what: str, wanted: str, measured: str) -> None:
        line = json.dumps([what, wanted, measured]) + "\n"
        descriptor = os.open(gathered, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    return state


def pytest_configure(config: pytest.Config) -> None:
    """Choose the file that all workers of this run add their lines to."""
    worker = getattr(config, "workerinput", None)
    base = Path(worker["figures"]) if worker else config.rootpath / "build" / "figures.jsonl"
    config.stash[GATHERED] = base
    if worker is None:
        base.parent.mkdir(exist_ok=True)
        base.unlink(missing_ok=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell a worker of pytest-xdist where the lines go."""
    node.workerinput["figures"] = str(node.config.stash[GATHERED])  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    gathered = config.stash[GATHERED]
    if gathered.is_file():
        rows = sorted({tuple(json.loads(line)) for line in gathered.read_text("utf-8").splitlines()})
        terminalreporter.section("figures")
        for line in table([HEADING, *rows]):
            terminalreporter.write_line(line)


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Align rows in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
