"""One finished run on the stub platform for all tests that only read it."""

from __future__ import annotations

import pytest

from deft.loop import run_loop
from loop_fixtures import SILENT, new_run


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        home = tmp_path_factory.mktemp("home")
        monkeypatch.setenv("XDG_STATE_HOME", str(home))
        run, _ = new_run(tmp_path_factory.mktemp("finished"), monkeypatch, max_iterations=2)
        run_loop(run, SILENT)
    return run


@pytest.fixture
def state(finished):
    from deft import files

    return files.read_json(finished.state)
