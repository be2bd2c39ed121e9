"""A clock that jumps and a machine that reboots change times in the records, and nothing else.

Order comes from the sequence number, durations from the monotonic clock, and who holds a run from boot, pid
and start time.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from killed_runs import STEPS, KilledRun

import deft
from deft import runner
from deft.guard import approval
from deft.loop import run_loop
from deft.run import lock
from deft.run import log as log_module
from deft.run.lock import Holder, holder
from deft.run.log import read
from deft.runner import work
from deft.stages import base
from deft.workspace import layout
from loop_fixtures import SILENT, use_stub
from stub_platform import StubPlatform

BACK, FORWARD, RIGHT = timedelta(days=-1), timedelta(days=3653), timedelta()
JUMPS = (BACK, FORWARD, RIGHT)
LONGEST_STAGE_SECONDS = 300
IN_THE_LOOP = {"guard/approval.py", "run/log.py", "workspace/layout.py"}
OUTSIDE_THE_LOOP = {
    "cli/main.py": "the name of a crash file",
    "guard/engagement.py": "how long a session of a client counts as engaged",
    "preflight/plan.py": "when a plan was made, and the run's name",
    "run/by_hand.py": "a state made by hand",
    "run/tokens.py": "which replies of a transcript fall into a stage",
    "steps/gate.py": "the name of a step's results",
    "tools/visual_changenet/status.py": "the time fields of a tool's own record",
}


class Clock:
    """The wall clock of this process, as wrong as `wrong_by` says."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.wrong_by = RIGHT
        clock, now = self, approval.now

        class Shown(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return datetime.now(tz) + clock.wrong_by

        for module in (log_module, layout):
            patch.setattr(module, "datetime", Shown)
        patch.setattr(approval, "now", lambda: now() + int(clock.wrong_by.total_seconds()))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def run_again(tmp_path: Path) -> KilledRun:
    return KilledRun(tmp_path)


def at_each_stage(patch: pytest.MonkeyPatch, act: Callable[[int], None]) -> None:
    """Call `act` with the stage's number before it begins."""
    execute, begun = base.Stage.execute, iter(range(len(STEPS)))

    def watched(*arguments: Any) -> Any:
        act(next(begun))
        return execute(*arguments)

    patch.setattr(base.Stage, "execute", watched)


def test_a_clock_that_jumps_before_and_within_every_stage_changes_nothing(
    run_again, clock, monkeypatch, figure
):
    jumps = 0
    for first in range(len(JUMPS)):

        def jump(number: int, first: int = first) -> None:
            nonlocal jumps
            clock.wrong_by, jumps = JUMPS[(first + number) % len(JUMPS)], jumps + 1

        def jump_again(call: object) -> None:
            nonlocal jumps
            clock.wrong_by, jumps = JUMPS[(JUMPS.index(clock.wrong_by) + 1) % len(JUMPS)], jumps + 1

        run_again.restore()
        with monkeypatch.context() as patch:
            use_stub(patch, StubPlatform(before=jump_again))
            at_each_stage(patch, jump)
            run_loop(run_again.run, SILENT)
        assert run_again.differences() == []
        entries = read(run_again.run.log)
        assert [entry["ts"] for entry in entries] != sorted(entry["ts"] for entry in entries)
        assert all(0 <= entry["duration_sec"] < LONGEST_STAGE_SECONDS for entry in entries)
    assert jumps > len(JUMPS) * len(STEPS)
    figure(
        "clock a day back and ten years forward, before and within each stage",
        "same result, same order",
        f"{jumps} jumps in {len(JUMPS)} runs of {len(STEPS)} stages, every tree equal",
    )


class Reboot(BaseException):
    """The machine goes down: nothing of the process is left but what is on disk."""


def lives(run: KilledRun, clock: Clock, patch: pytest.MonkeyPatch) -> Iterator[str]:
    """Work for one stage on each boot, under another clock each time; yield the boots that were needed."""
    started = lock._start_time(os.getpid())
    for number in range(len(STEPS) + 2):
        patch.setattr(lock, "_boot_id", lambda boot=f"boot {number}": boot)
        assert holder(run.run) is None
        clock.wrong_by = JUMPS[number % len(JUMPS)]
        yield f"boot {number}"
        try:
            work(run.run, until_judgement=False)
            return
        except Reboot:
            left = Holder(os.getpid(), started or 0, f"boot {number}", "2026-01-02T03:04:05.000000Z")
            (run.run.runner / "holder.json").write_text(json.dumps(asdict(left)))
    raise AssertionError("more boots than stages")


def test_a_reboot_after_every_stage_leaves_nobody_holding_the_run_and_changes_nothing(
    run_again, clock, monkeypatch, figure
):
    def go_down(run: Any) -> None:
        raise Reboot

    use_stub(monkeypatch)
    monkeypatch.setattr(runner, "render_report", go_down)  # the runner draws it after each stage
    run_again.restore()
    boots = 0
    for _ in lives(run_again, clock, monkeypatch):
        boots += 1
        if boots > len(STEPS):
            monkeypatch.setattr(runner, "render_report", lambda run: run.report)
    differing = [name for name in run_again.differences() if not name.startswith(".runner/")]
    assert differing == []
    figure(
        "reboot after each stage; the old holder's pid is alive again",
        "same result, no unlock by hand",
        f"{boots - 1} reboots, tree equal",
    )


def test_no_other_module_of_the_loop_asks_what_time_it_is():
    source = Path(deft.__file__).parent
    asking = {path.relative_to(source).as_posix() for path in source.rglob("*.py") if asks_the_time(path)}
    assert asking == IN_THE_LOOP | set(OUTSIDE_THE_LOOP)


def asks_the_time(path: Path) -> bool:
    """Say whether a module reads the wall clock (`x.now()`, `time.time()`, `time.strftime()`)."""
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    named = [call.func for call in calls if isinstance(call.func, ast.Attribute)]
    return any(
        name.attr in ("now", "utcnow", "today")
        or (name.attr in ("time", "strftime") and getattr(name.value, "id", "") == "time")
        for name in named
    )
