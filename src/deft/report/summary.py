"""The facts of a run's last iteration in a kilobyte: what the reporter writes its summary from."""

from __future__ import annotations

import json
from typing import Any

from deft.errors import StateConflict
from deft.report.facts import RunFacts
from deft.report.markdown import cleaned
from deft.run.spot_check import VERDICTS
from deft.workspace.layout import RunFolder

BYTES = 1024
POINTS = ("far_at_100", "far_at_99_5", "far_at_99")
Record = dict[str, Any]


def iteration_summary(run: RunFolder) -> Record:
    """Return the facts of the last evaluated phase beside those of the one before, and where to write.

    Rates are in percent. Raises StateConflict while nothing has been evaluated.
    """
    facts = RunFacts.of(run)
    phases = list(facts.evaluated)
    if not phases:
        raise StateConflict("nothing has been evaluated yet", value=run.root.name, hint="deft status")
    last = phases[-1]
    record: Record = {
        "status": "facts",
        "write": str(run.summary(last)),
        "phase": last,
        "target": facts.target.normal_form(),
        "verdict": facts.verdict(),
        "best": facts.state["incumbent"],
        "now": _figures(facts, last),
        "before": _figures(facts, phases[-2]) if len(phases) > 1 else None,
        "mined": _mined(facts.state["iterations"][last]),
        "looked": _verdicts(facts),
        "events": [cleaned(event) for where, event in facts.events() if where.startswith(f"{last} ")],
    }
    return _fit({name: value for name, value in record.items() if value not in (None, [], {})})


def _figures(facts: RunFacts, phase: str) -> Record:
    kpi = facts.evaluated[phase]["kpi"]
    figures: Record = {"target_figure": facts.target_figures().get(phase)}
    figures.update({name: _percent(kpi[name]["far"]) for name in POINTS})
    calibrated = (kpi.get("validation_calibrated") or {}).get("kpi") or {}
    figures["calibrated_far"] = _percent(calibrated.get("far"))
    figures["calibrated_missed"] = calibrated.get("missed")
    figures["far_bound"] = _percent((kpi.get("far_bound") or {}).get("bound"))
    figures["missed_bound"] = _percent((kpi.get("missed_bound") or {}).get("bound"))
    return {name: value for name, value in figures.items() if value is not None}


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else round(100 * fraction, 2)


def _mined(phase: Record) -> Record | None:
    if phase.get("mining_mined_count") is None:
        return None
    names = {"rows": "mining_mined_count", "synthetic": "mining_synthetic_count", "targets": "mining_targets"}
    return {shown: phase[name] for shown, name in names.items() if phase.get(name) is not None}


def _verdicts(facts: RunFacts) -> Record:
    given = [sample.get("verdict") for sample in facts.weakest_pairs()]
    return {name: given.count(name) for name in VERDICTS if name in given}


def _fit(record: Record) -> Record:
    """Drop events, then the figures before, until the record fits into a kilobyte."""
    while len(json.dumps(record, ensure_ascii=False).encode()) > BYTES:
        if record.get("events"):
            record["events"] = record["events"][:-1]
        elif "before" in record:
            del record["before"]
        else:
            break
    return record


def summary_text(record: Record) -> str:
    """Return the facts for a person."""
    return "\n".join(f"{name}: {_text(value)}" for name, value in record.items() if name != "status")


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
