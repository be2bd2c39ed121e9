"""One approved run of three iterations that is killed and resumed again and again from the same bytes."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from deft.run.audit import audit_run
from deft.run.transitions import ORDER_BASELINE, ORDER_ITERATION
from deft.workspace.layout import RunFolder
from loop_children import child, run_and_count
from loop_fixtures import open_approved_run, use_stub
from time_fields import tree_without_times
from tiny_workspace import make_workspace

ITERATIONS = 3
STEPS = (
    *(f"baseline/{name}" for name in ORDER_BASELINE),
    *(f"iter{number}/{name}" for number in range(1, ITERATIONS + 1) for name in ORDER_ITERATION),
    f"iter{ITERATIONS}/loop_stop",
)
Tree = dict[str, bytes]


class KilledRun:
    """A run at one place: put back to its first bytes, carried on to its end, compared with `undisturbed`."""

    def __init__(self, parent: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            use_stub(patch)
            workspace = make_workspace(parent / "workspace")
            self.run: RunFolder = open_approved_run(workspace, max_iterations=ITERATIONS)
        self.kept, self.counted = parent / "kept", parent / "counted"
        shutil.copytree(self.run.root, self.kept)
        assert self.go_on(run_and_count, 0, str(self.counted)) == 0
        self.undisturbed = tree_without_times(self.run)
        self.calls = int(self.counted.read_text())

    def restore(self) -> None:
        shutil.rmtree(self.run.root)
        shutil.copytree(self.kept, self.run.root)

    def go_on(self, function: Callable[..., object], *arguments: object) -> int:
        """Let a process of its own work on the run; return 0 when it finished, 1 when it was killed."""
        process = child(function, str(self.run.root), *arguments)
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        return int(process.exitcode != 0)

    def differences(self) -> list[str]:
        """Name what the run has that the undisturbed one has not, lacks, or holds with other bytes."""
        found = tree_without_times(self.run)
        assert audit_run(self.run)["status"] == "agrees"
        names = sorted({*found, *self.undisturbed})
        return [name for name in names if found.get(name) != self.undisturbed.get(name)]
