"""What the demo shows at its end: each iteration's figures with what bounds them, and what to do next."""

from __future__ import annotations

import shlex
from typing import Any

from deft import files
from deft.workspace.layout import RunFolder

Record = dict[str, Any]


def result_record(run: RunFolder) -> Record:
    """Return FAR at 100, 99.5 and 99 % recall of every phase, its bound, and the paths a user needs."""
    state = files.read_json(run.state)
    phases = {name: _figures(phase) for name, phase in state["iterations"].items() if phase["kpi"]}
    return {
        "status": "complete",
        "stop_reason": state["stop_reason"],
        "best": state["incumbent"],
        "phases": phases,
        "report": str(run.report),
        "model": str(run.best_model),
    }


def _figures(phase: Record) -> Record:
    kpi = phase["kpi"]
    return {
        "far_at_100": kpi["far_at_100"]["far"],
        "far_at_99_5": kpi["far_at_99_5"]["far"],
        "far_at_99": kpi["far_at_99"]["far"],
        "mean_far_98_100": kpi["mean_far_98_100"],
        "auroc": kpi["auroc"],
        "decided_by": kpi["far_at_100"]["deciding_defect"]["component_id"],
        "missed_bound": kpi["missed_bound"]["bound"],
        "promoted": phase["promoted"],
    }


def result_text(run: RunFolder, record: Record) -> str:
    """Return the table and the next steps as text."""
    head = f"{'':9}{'FAR@100':>9}{'FAR@99.5':>10}{'FAR@99':>9}{'mean 98-100':>13}{'AUROC':>8}  set by"
    rows = [_row(name, figures) for name, figures in record["phases"].items()]
    missed = next(iter(record["phases"].values()))["missed_bound"]
    return "\n".join(
        [
            "",
            head,
            *rows,
            "",
            f"No defect is missed at FAR@100, which proves a miss rate of at most {missed:.1%} (95 %).",
            "FAR@100 hangs on the one defect named in its row; FAR@99.5 and FAR@99 tell the trend.",
            f"Stopped: {record['stop_reason']}; best model: {record['best']}.",
            "",
            f"Report:        {record['report']}",
            f"Score images:  deft score TABLE.csv --model {shlex.quote(record['model'])}",
            f"With TAO's tool: {_tool_call(run)}",
            "Your own data: deft import folders --help, then deft preflight, deft approve, deft run",
        ]
    )


def _tool_call(run: RunFolder) -> str:
    """Return the call that scores new images by the hand-over alone, in the container's grammar."""
    infer = "dataset.classify.infer_dataset"
    return (
        f"deft tool visual_changenet inference -e {shlex.quote(str(run.inference_spec))} "
        f"inference.results_dir=OUT {infer}.csv_path=TABLE.csv {infer}.images_dir=IMAGES"
    )


def _row(name: str, figures: Record) -> str:
    cells = "".join(f"{100 * figures[key]:>{width - 1}.2f}%" for key, width in _COLUMNS)
    star = "" if figures["promoted"] else "  (not promoted)"
    return f"{name:9}{cells}{figures['auroc']:>8.4f}  {figures['decided_by']}{star}"


_COLUMNS = (("far_at_100", 9), ("far_at_99_5", 10), ("far_at_99", 9), ("mean_far_98_100", 13))
