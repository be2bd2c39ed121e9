"""Find and remove checkpoints that nothing needs any more: old ones fill disks."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deft.errors import StateConflict
from deft.run.gate import require_approval
from deft.run.lock import RunLock, holder
from deft.run.log import LoopLog, read
from deft.run.state import fold, read_plan, write_state
from deft.workspace.layout import RunFolder


def superfluous_checkpoints(run: RunFolder) -> list[Path]:
    """Return the checkpoints of finished trainings that are neither a phase's best nor its latest.

    Raises StateConflict while a runner works on the run.
    """
    if holder(run) is not None:
        raise StateConflict("run is busy", value=run.root, hint=f"deft stop {shlex.quote(str(run.root))}")
    state = fold(read_plan(run), read(run.log))
    found: list[Path] = []
    for name, phase in state["iterations"].items():
        if phase["stages"].get("train", {}).get("status") == "ok":
            needed = {Path(phase[key]).name for key in ("best_ckpt_path", "latest_ckpt_path")}
            checkpoints = sorted(run.phase(name).train.glob("model_epoch_*.pth"))
            found.extend(path for path in checkpoints if path.name not in needed)
    return found


def remove_checkpoints(run: RunFolder, paths: Iterable[Path]) -> None:
    """Log what will go, then remove it: an audit then knows why a file of a manifest is absent.

    What a killed call has logged and not removed is removed without a second line.
    """
    plan: dict[str, Any] = read_plan(run)
    require_approval(run, plan)
    listed = {path.relative_to(run.root).as_posix(): path for path in paths}
    with RunLock(run):
        entries = read(run.log)
        told = {name for entry in entries for name in entry["outcome"].get("removed", [])}
        fresh = [name for name in listed if name not in told]
        if fresh:
            _log_removal(run, fresh, entries[-1]["iter"])
        for path in listed.values():
            path.unlink(missing_ok=True)
        write_state(run, plan)


def _log_removal(run: RunFolder, names: list[str], phase: str) -> None:
    LoopLog(run.log).append(
        {
            "iter": phase,
            "stage": "clean",
            "status": "ok",
            "summary": f"{len(names)} superfluous checkpoints removed",
            "kind": "note",
            "outcome": {"removed": names},
        }
    )
