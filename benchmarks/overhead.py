"""What the loop costs beside its tools: stages, log, mining's search, report, at the size of the demo.

    python -m benchmarks overhead

A drawn workspace of the demo's size runs through the loop (two iterations) on a platform whose tools answer
in milliseconds (the one of the tests); the time of its calls is taken off. Printed are the seconds of each
stage, without its tools, and of an iteration.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.runs import private_state

ITERATIONS = 2
TESTS = Path(__file__).resolve().parents[1] / "tests"


def run_loop_on(workspace: Path, tools: list[float]) -> Any:
    """Run the loop on the stub platform; the seconds of its calls are appended to `tools`."""
    import deft.loop
    import deft.preflight.plan
    from deft.platforms.base import ToolCall
    from deft.progress import NullProgress, Progress
    from deft.run.gate import approve, open_run, remember_drawn, save_pending
    from deft.workspace.layout import Workspace
    from stub_platform import StubPlatform

    class Timed(StubPlatform):
        def run(self, calls: Sequence[ToolCall], progress: Progress) -> None:
            started = time.perf_counter()
            super().run(calls, progress)
            tools.append(time.perf_counter() - started)

    platform, found = Timed(), Workspace.at(workspace)
    for module in (deft.loop, deft.preflight.plan):
        module.platform_named = lambda name, settings=None: platform
    given = {"max_iterations": ITERATIONS, "spot_check": False, "threads": 1}
    plan, _, _ = deft.preflight.plan.make_plan(
        found, target="FAR < 0.1% at recall = 100%", platform="embedded", given=given
    )
    save_pending(plan)
    remember_drawn(found)
    approve(found, by="demo")
    run = open_run(found)
    deft.loop.run_loop(run, NullProgress())
    return run


def main() -> None:
    """Print a line a stage and the seconds an iteration; with `--profile`, the functions that cost most."""
    sys.path.insert(0, str(TESTS))
    private_state()
    from deft.run.log import read
    from deft.workspace.demo import draw_workspace

    with tempfile.TemporaryDirectory() as name:
        workspace = Path(name, "workspace")
        draw_workspace(workspace)
        tools: list[float] = []
        profile = cProfile.Profile(time.process_time) if "--profile" in sys.argv else None
        started, computed = time.perf_counter(), time.process_time()
        if profile:
            profile.enable()
        run = run_loop_on(workspace, tools)
        whole, computed = time.perf_counter() - started, time.process_time() - computed
        if profile:
            profile.disable()
            pstats.Stats(profile).sort_stats("cumulative").print_stats(70)
        seconds: dict[str, float] = {}
        for entry in read(run.log):
            if entry["kind"] == "stage":
                spent = entry["outcome"].get("seconds", 0)
                seconds[entry["iter"]] = seconds.get(entry["iter"], 0) + spent
                print(f"{entry['iter']:9} {entry['stage']:12} {spent:6.2f} s")
        print(f"load {os.getloadavg()[0]:.1f}; stages of a phase: {seconds}")
        print(
            f"planning and the loop: {whole:.1f} s, {computed:.1f} s of processor; tools {sum(tools):.1f} s"
        )


if __name__ == "__main__":
    main()
