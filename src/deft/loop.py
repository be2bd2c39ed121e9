"""Do the stages in their order until the loop stops or eyes are needed; nothing else.

The order itself and the stop rule are `run.transitions`: the log refuses what they do not allow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deft import files
from deft.platforms.registry import platform_named
from deft.progress import Progress
from deft.run.gate import require_approval
from deft.run.log import LoopLog
from deft.run.seeding import seed_baseline
from deft.run.spot_check import awaits_eyes, record_nobody_looked
from deft.run.state import fold, read_plan, write_state
from deft.run.transitions import next_stage, stop_reason
from deft.stages.anomalygen import Anomalygen
from deft.stages.base import Stage, StageContext
from deft.stages.data_merge import DataMerge
from deft.stages.data_mining import DataMining
from deft.stages.evaluate import Evaluate
from deft.stages.loop_stop import LoopStop
from deft.stages.rca import Rca
from deft.stages.routing import Routing
from deft.stages.train import Train
from deft.workspace.layout import RunFolder

STAGES: dict[str, type[Stage]] = {
    stage.name: stage
    for stage in (Train, Evaluate, Rca, Routing, Anomalygen, DataMining, DataMerge, LoopStop)
}
COMPLETE, JUDGEMENT = "complete", "judgement"
Record = dict[str, Any]


def run_loop(
    run: RunFolder,
    progress: Progress,
    *,
    until_judgement: bool = False,
    after_stage: Callable[[Record], None] = lambda state: None,
) -> str:
    """Do stages until the loop has stopped (`complete`) or the spot check is due (`judgement`).

    Every stage is preceded by a look at the approval. Raises DeftError where a stage fails; the
    failure is then in the log.
    """
    plan: Record = read_plan(run)
    log = LoopLog(run.log)
    platform = platform_named(plan["platform"], plan.get("platform_settings"))
    if next_stage(log.read(), plan) is not None:
        require_approval(run, plan)
        seed_baseline(run, plan, log)
    _bring_state_up_to(run, plan, log.read())
    while True:
        entries = log.read()
        due = next_stage(entries, plan)
        waiting = awaits_eyes(run, plan, entries)
        if due is None or (waiting and until_judgement):
            return COMPLETE if due is None else JUDGEMENT
        require_approval(run, plan)
        if waiting:
            record_nobody_looked(run, plan, log)
            continue
        phase, name = due
        state = fold(plan, entries)
        context = StageContext(run, plan, state, run.phase(phase), platform, progress)
        after_stage(_stage(name, entries, plan).execute(context, log))


def _bring_state_up_to(run: RunFolder, plan: Record, entries: list[Record]) -> None:
    """Fold anew where a kill or a power cut after the last log line left an older state, or none."""
    wanted = files.json_text(fold(plan, entries)).encode()
    if not run.state.is_file() or run.state.read_bytes() != wanted:
        write_state(run, plan)


def _stage(name: str, entries: list[Record], plan: Record) -> Stage:
    if name == LoopStop.name:
        return LoopStop(stop_reason(entries, plan) or "hard_stop")
    return STAGES[name]()
