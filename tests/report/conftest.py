"""One finished run a session, and copies of its result folders for tests that change them."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft import files
from deft.loop import run_loop
from deft.run.log import LoopLog
from deft.run.spot_check import rca_folder, record_verdicts, samples
from deft.workspace.layout import RunFolder
from loop_fixtures import SILENT, new_run

SEEN = ("mislabeled", "edge case", "data quality", "systematic")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Return a run of two iterations whose last analysis somebody judged; approved in a home of its own."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("report")
        patch.setenv("XDG_STATE_HOME", str(root / "state"))
        run, _ = new_run(root, patch)
        while run_loop(run, SILENT, until_judgement=True) == "judgement":
            _judge(run)
    return run


def _judge(run: RunFolder) -> None:
    log = LoopLog(run.log)
    folder = rca_folder(run, log.read())
    assert folder is not None
    answers = [f"{sample['number']}={SEEN[sample['number'] % 4]}" for sample in samples(folder)]
    record_verdicts(run, files.read_json(run.plan), log, answers)


@pytest.fixture
def approved_home(finished: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a test the home in which the finished run was approved."""
    monkeypatch.setenv("XDG_STATE_HOME", str(finished.workspace.root.parent / "state"))


@pytest.fixture
def analysis(finished: RunFolder) -> Path:
    """Return the last analysis of the run."""
    return sorted(finished.root.glob("iter2/rca_results/*"))[-1]


@pytest.fixture
def search(finished: RunFolder) -> Path:
    """Return the last search of the run."""
    return finished.phase("iter2").mining_filter
