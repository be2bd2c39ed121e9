"""What tests of the verbs share: a workspace as hashes, and a runner inside this process."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest

from deft import files, runner
from deft.run.lock import holder
from deft.workspace.layout import RunFolder


def tree(root: Path) -> dict[str, str]:
    """Return every path below a folder with the sha256 of its content, `folder` or its link."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        else:
            found[name] = files.sha256_of_file(path) if path.is_file() else "folder"
    return found


def inputs_of(root: Path) -> dict[str, str]:
    """Return the same of a workspace without its results: what no run may touch."""
    return {name: digest for name, digest in tree(root).items() if name.split("/")[0] != "results"}


def run_in_process(monkeypatch: pytest.MonkeyPatch, *, render: bool = False) -> list[RunFolder]:
    """Let the runner that a verb starts work here and now; returns the runs it was started for.

    The page that it draws after every stage is left out unless a test asks for it: it takes most of the time.
    """
    started: list[RunFolder] = []

    def start(run: RunFolder, *, until_judgement: bool) -> None:
        assert holder(run) is None
        started.append(run)
        (run.runner / "outcome.json").unlink(missing_ok=True)
        with contextlib.redirect_stdout(
            io.StringIO()
        ):  # tools print; a runner's words go to a file of its own
            runner.work(run, until_judgement=until_judgement)

    if not render:
        monkeypatch.setattr("deft.runner.render_report", lambda run: run.report)
    for module in ("deft.cli.running", "deft.runner"):
        monkeypatch.setattr(f"{module}.start_runner", start)
    return started


def sit_at_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a person sit at the terminal, whatever runs the tests."""
    monkeypatch.setattr("deft.run.gate.agent_marker", lambda: None)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
