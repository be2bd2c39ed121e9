"""Processes of their own that work with the Slurm platform, to be killed and stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deft import runner
from deft.platforms.base import ToolCall
from deft.platforms.slurm.platform import SlurmPlatform
from deft.progress import NullProgress
from deft.shards.launchers.base import run_missing
from deft.shards.launchers.slurm import SlurmLauncher
from deft.shards.ledger import ShardFolder
from loop_fixtures import PICTURES

STOPPED, TASKS = 9, 8


def run_calls(settings: dict[str, Any], calls: Sequence[ToolCall]) -> int:
    """Carry out calls on the cluster; say whether it was stopped."""
    try:
        SlurmPlatform(settings).run(calls, NullProgress())
    except KeyboardInterrupt:
        return STOPPED
    return 0


def work_as_runner(root: str) -> int:
    """Be the runner of a run whose plan names the cluster."""
    pytest.MonkeyPatch().setattr("deft.metrics.kpi_files._pictures", lambda analysis, bins: PICTURES)
    return runner.main([root])


def launch_shards(folder: str) -> None:
    """Have the missing shards of a folder done by an array whose tasks do several each."""
    pytest.MonkeyPatch().setattr("deft.shards.launchers.task_script.TASKS_AT_MOST", TASKS)
    run_missing(ShardFolder.at(Path(folder)), SlurmLauncher(), NullProgress())
