"""status.json says how an action ended, so that a killed one can be told from a finished one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conformance import difference
from deft.errors import InputRefused
from deft.tools.grammar import compose, typed_overrides
from deft.tools.visual_changenet.schema import ExperimentConfig
from deft.tools.visual_changenet.status import recorded


def last_status(folder: Path) -> str:
    lines = (folder / "status.json").read_text().splitlines()
    return str(json.loads(lines[-1])["status"])


def test_an_action_that_ends_well_closes_with_success(tmp_path: Path) -> None:
    assert difference("terminal-status-record")
    config = compose(ExperimentConfig, None, typed_overrides({"results_dir": str(tmp_path)}))
    with recorded(config, "train") as (folder, log):
        log.write("Starting.")
        assert last_status(folder) == "RUNNING"
    assert last_status(folder) == "SUCCESS"


def test_an_action_that_fails_closes_with_failure(tmp_path: Path) -> None:
    config = compose(ExperimentConfig, None, typed_overrides({"results_dir": str(tmp_path)}))
    with pytest.raises(InputRefused), recorded(config, "train") as (folder, _):
        raise InputRefused("no rows")
    assert last_status(folder) == "FAILURE"
