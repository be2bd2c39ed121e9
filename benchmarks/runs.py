"""Run whole loops in this process for the benchmarks, and collect the candidate's figures of each phase.

The candidate is judged, not the incumbent: promotion alone would make the incumbent monotone.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

Record = dict[str, Any]
FIGURES = ("far_at_100", "far_at_99_5", "far_at_99", "mean_far_98_100", "auroc")
WORKERS = 2


def private_state() -> None:
    """Keep plans, approvals and caches of a benchmark away from the user's."""
    home = tempfile.mkdtemp(prefix="deft-benchmark-")
    os.environ.update(XDG_STATE_HOME=f"{home}/state", XDG_CACHE_HOME=f"{home}/cache", OMP_NUM_THREADS="1")


def run_loop_on(workspace: Path, given: Record, *, baseline: Path | None = None) -> Record:
    """Plan, approve and run a loop on a drawn workspace; return its state."""
    from deft import files
    from deft.loop import run_loop
    from deft.preflight.plan import make_plan
    from deft.progress import NullProgress
    from deft.run.gate import approve, open_run, remember_drawn, save_pending
    from deft.workspace.layout import Workspace

    found = Workspace.at(workspace)
    settings = {"threads": 1, "spot_check": False, **given}
    plan, _, _ = make_plan(
        found, target="FAR < 0.1% at recall = 100%", platform="embedded", given=settings, baseline=baseline
    )
    save_pending(plan)
    remember_drawn(found)
    approve(found, by="demo")
    run = open_run(found)
    run_loop(run, NullProgress())
    state: Record = files.read_json(run.state)
    return state


def figures(kpi: Record) -> Record:
    """Return the figures of one scored set as plain numbers."""
    plain = {name: kpi[name]["far"] if isinstance(kpi[name], dict) else kpi[name] for name in FIGURES}
    return plain | {"recall_by_type": {k: v["recall_at_far_1"] for k, v in kpi["per_label"].items()}}


def phases(state: Record) -> Record:
    """Return KPI and held-out figures of every evaluated phase, and what it was trained on."""
    return {
        name: {
            "kpi": figures(phase["kpi"]),
            "holdout": figures(phase["kpi"]["holdout"]) if phase["kpi"]["holdout"] else None,
            "new_rows": phase.get("mining_mined_count"),
            "promoted": phase["promoted"],
        }
        for name, phase in state["iterations"].items()
        if phase["kpi"]
    }


def run_all(job: Any, cases: Iterable[Any], output: Path) -> list[Record]:
    """Run a job over cases on two processes of one thread each; keep every result as a line at once."""
    results = []
    output.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(WORKERS) as pool, open(output, "a", encoding="utf-8") as lines:
        for result in pool.map(job, cases):
            for record in result:
                lines.write(json.dumps(record) + "\n")
                results.append(record)
            lines.flush()
            sys.stderr.write(f"{len(results)} results in {output}\n")
    return results
