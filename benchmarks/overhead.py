"""What the loop costs beside its tools: stages, log, mining's search, report, at the size of the demo.

    python -m benchmarks overhead

A drawn workspace of the demo's size runs through the loop (two iterations) on a platform whose tools answer
in milliseconds (the one of the tests); the time of its calls is taken off. As the runner does, the report is
rendered after every stage. Printed are the seconds of each stage, without its tools, and of an iteration.
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
Spent = tuple[str, str, float, float]
"""Phase, stage, seconds of processor, seconds on the wall."""
TESTS = Path(__file__).resolve().parents[1] / "tests"


def run_loop_on(workspace: Path, stages: list[Spent]) -> None:
    """Run the loop on the stub platform, appending what each stage took without its tools."""
    import deft.loop
    import deft.preflight.plan
    from deft.platforms.base import ToolCall
    from deft.progress import NullProgress, Progress
    from deft.report.render import render_report
    from deft.run.gate import approve, open_run, remember_drawn, save_pending
    from deft.run.log import LoopLog
    from deft.stages.base import Stage, StageContext
    from deft.workspace.layout import Workspace
    from stub_platform import StubPlatform

    tools = {"processor": 0.0, "wall": 0.0}

    class Timed(StubPlatform):
        def run(self, calls: Sequence[ToolCall], progress: Progress) -> None:
            before = time.process_time(), time.perf_counter()
            super().run(calls, progress)
            tools["processor"] += time.process_time() - before[0]
            tools["wall"] += time.perf_counter() - before[1]

    execute = Stage.execute

    def timed(self: Stage, context: StageContext, log: LoopLog) -> Any:
        before = time.process_time() - tools["processor"], time.perf_counter() - tools["wall"]
        try:
            return execute(self, context, log)
        finally:
            spent = time.process_time() - tools["processor"], time.perf_counter() - tools["wall"]
            stages.append((context.phase.name, self.name, spent[0] - before[0], spent[1] - before[1]))

    platform, found = Timed(), Workspace.at(workspace)
    Stage.execute = timed
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

    def render(state: dict[str, Any]) -> None:
        before = time.process_time(), time.perf_counter()
        render_report(run)
        spent = time.process_time() - before[0], time.perf_counter() - before[1]
        stages.append((stages[-1][0], "report after it", *spent))

    deft.loop.run_loop(run, NullProgress(), after_stage=render)


def main() -> None:
    """Print a line a stage and the seconds an iteration; with `--profile`, the functions that cost most."""
    sys.path.insert(0, str(TESTS))
    private_state()
    from deft.workspace.demo import draw_workspace

    with tempfile.TemporaryDirectory() as name:
        workspace = Path(name, "workspace")
        draw_workspace(workspace)
        stages: list[Spent] = []
        profile = cProfile.Profile(time.process_time) if "--profile" in sys.argv else None
        if profile:
            profile.enable()
        run_loop_on(workspace, stages)
        if profile:
            profile.disable()
            pstats.Stats(profile).sort_stats("cumulative").print_stats(70)
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    print("| phase | stage | seconds of processor | seconds |\n|---|---|---|---|")
    for phase in dict.fromkeys(stage[0] for stage in stages):
        rows = [stage[1:] for stage in stages if stage[0] == phase]
        rows.append(("sum", sum(row[1] for row in rows), sum(row[2] for row in rows)))
        for name, processor, wall in rows:
            print(f"| {phase} | {name} | {processor:.2f} | {wall:.2f} |")


if __name__ == "__main__":
    main()
