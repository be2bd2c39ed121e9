"""What every test may ask for: the shared documents, and a home that is nobody's."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from client.installation import index_folder

pytest_plugins = ["figures", "dockerd", "scripted_docker"]

REPOSITORY = Path(__file__).resolve().parents[1]

# Who starts the tests in a shell's background makes them deaf to it, and the programs that they stop as well.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip("../shared is absent")
    return folder


@pytest.fixture(autouse=True)
def private_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep pending plans, approvals and caches of the user out of reach of the tests."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    for name in ("CLAUDECODE", "CLAUDE_CODE_SESSION_ID", "CLAUDE_ENV_FILE", "DEFT_SESSION_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put faiss on the path; skip where it is not there."""
    if not index_folder().is_dir():
        pytest.skip("faiss is not installed (tests/client/installation.py)")
    monkeypatch.syspath_prepend(index_folder())


@dataclass(frozen=True)
class Said:
    """What a verb left behind: its exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def record(self) -> dict[str, Any]:
        """The one JSON record on stdout."""
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Call `deft WORDS` in this process as a shell would."""
    from deft.cli.main import main

    def call(*words: object) -> Said:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as ending:
            code = int(ending.code or 0)
        return Said(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One finished run on the stub platform for all tests that only read it."""
    from deft.loop import run_loop
    from deft.report.render import render_report
    from loop_fixtures import SILENT, new_run

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("home")))
        run, _ = new_run(tmp_path_factory.mktemp("finished"), monkeypatch, max_iterations=2)
        run_loop(run, SILENT)
        render_report(run)
    return run
