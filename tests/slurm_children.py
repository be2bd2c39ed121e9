"""Processes of their own that work with the Slurm platform, to be killed and stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from deft import runner
from deft.platforms.base import ToolCall
from deft.platforms.slurm.platform import SlurmPlatform
from deft.progress import NullProgress
from loop_fixtures import PICTURES

STOPPED = 9


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
