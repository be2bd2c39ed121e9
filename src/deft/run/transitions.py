"""Which stage may follow which: the one table that the log, the loop and `log_stage` obey.

A stage is *completed* by an `ok` entry of kind `stage`, or by a `manual` entry that an audit has confirmed.
A baseline that came trained is completed by one note before any stage, whose outcome holds `seeded`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from deft.errors import StateConflict, UsageError

Entry = dict[str, Any]
Step = tuple[str, str]

BASELINE = "baseline"
LOOP_STOP = "loop_stop"
ORDER_BASELINE = ("train", "evaluate", "rca")
ORDER_ITERATION = ("routing", "anomalygen", "data_mining", "data_merge", "train", "evaluate", "rca")
STAGES = (*ORDER_BASELINE, "routing", "anomalygen", "data_mining", "data_merge", LOOP_STOP)
STATUSES = ("ok", "error")
STAGE_KINDS = ("stage", "manual")
STOP_AFTER = {
    "target_met": ("evaluate", "rca"),
    "max_iterations": ("rca",),
    "nothing_new": ("data_mining", "data_merge"),
}
HARD_STOP = "hard_stop"
STOP_REASONS = (*STOP_AFTER, HARD_STOP)
_PHASE = re.compile(r"baseline|iter[1-9]\d*")


def values_of(entry: Entry) -> dict[str, Any]:
    """Return what an entry gives to the state: the `values` of its outcome."""
    return dict(entry.get("outcome", {}).get("values", {}))


def audited_values(entries: Sequence[Entry]) -> dict[int, dict[str, Any]]:
    """Return, by sequence number, the values that audits recomputed for manual entries; the last counts.

    Whatever else a note names keeps its own values: only what was claimed before it waits for an audit.
    """
    claimed: dict[str, int] = {}
    found: dict[int, dict[str, Any]] = {}
    for entry in entries:
        if is_claim(entry):
            claimed[str(entry["seq"])] = entry["seq"]
        found |= {claimed[name]: values for name, values in confirmations(entry).items() if name in claimed}
    return found


def is_claim(entry: Entry) -> bool:
    """Say whether an entry tells of a stage that was done by hand, which only an audit completes."""
    return bool(entry["kind"] == "manual" and entry["status"] == "ok")


def confirmations(entry: Entry) -> dict[str, dict[str, Any]]:
    """Return what a note says that an audit recomputed: values by the number of an entry, as text."""
    audited: dict[str, dict[str, Any]] = entry.get("outcome", {}).get("audited", {})
    return audited if entry["kind"] == "note" else {}


def seed_of(entries: Sequence[Entry]) -> Entry | None:
    """Return the note that a baseline came trained: the first one, where no stage was logged before it."""
    for entry in entries:
        if entry["kind"] in STAGE_KINDS:
            return None
        if _is_seed(entry):
            return entry
    return None


def _is_seed(entry: Entry) -> bool:
    named = tuple(entry[name] for name in ("kind", "iter", "stage", "status"))
    return named == ("note", BASELINE, "train", "ok") and "seeded" in entry["outcome"]


def completed(entries: Sequence[Entry], *, claimed: bool = False) -> list[Step]:
    """Return the completed steps in order; with `claimed`, manual entries count before any audit."""
    audited, seed = audited_values(entries), seed_of(entries)
    steps: list[Step] = []
    for entry in entries:
        if entry is seed or _completes(entry, audited, claimed):
            steps.append((entry["iter"], entry["stage"]))
    return steps


def _completes(entry: Entry, audited: dict[int, dict[str, Any]], claimed: bool) -> bool:
    if is_claim(entry):
        return claimed or entry["seq"] in audited
    return bool(entry["kind"] == "stage" and entry["status"] == "ok")


def after(phase: str, stage: str) -> Step | None:
    """Return the step that follows in the plain order of the contract; None after `loop_stop`."""
    if stage == LOOP_STOP:
        return None
    order = ORDER_BASELINE if phase == BASELINE else ORDER_ITERATION
    position = order.index(stage) + 1
    return (phase, order[position]) if position < len(order) else (_next_phase(phase), ORDER_ITERATION[0])


def _next_phase(phase: str) -> str:
    return f"iter{phase_number(phase) + 1}"


def phase_number(phase: str) -> int:
    """Return 0 for the baseline, N for `iter<N>`."""
    return 0 if phase == BASELINE else int(phase.removeprefix("iter"))


def next_stage(entries: Sequence[Entry], plan: dict[str, Any]) -> Step | None:
    """Return the step to do now; None when the loop has stopped.

    Reads `target_met` from the values of evaluate, `new_rows` from those of data_mining, and
    `max_iterations` from the plan's settings.
    """
    done = completed(entries)
    if not done:
        return (BASELINE, ORDER_BASELINE[0])
    phase, stage = done[-1]
    if stage != LOOP_STOP and stop_reason(entries, plan) is not None:
        return (phase, LOOP_STOP)
    return after(phase, stage)


def stop_reason(entries: Sequence[Entry], plan: dict[str, Any]) -> str | None:
    """Return why the loop ends after the last completed step (a key of `STOP_AFTER`), or None to go on."""
    done = completed(entries)
    if not done:
        return None
    phase, stage = done[-1]
    values = _last_values(entries, done[-1])
    if stage == "evaluate" and values.get("target_met") is True:
        return "target_met"
    if stage == "data_mining" and values.get("new_rows") == 0:
        return "nothing_new"
    limit = plan.get("settings", {}).get("max_iterations", {}).get("value", 3)
    if stage == "rca" and phase_number(phase) >= int(limit):
        return "max_iterations"
    return None


def _last_values(entries: Sequence[Entry], step: Step) -> dict[str, Any]:
    audited = audited_values(entries)
    for entry in reversed(entries):
        if (entry["iter"], entry["stage"], entry["status"]) == (*step, "ok") and entry["kind"] != "note":
            return audited.get(entry["seq"], {}) if entry["kind"] == "manual" else values_of(entry)
    return {}


def next_attempt(entries: Sequence[Entry], phase: str, stage: str) -> int:
    """Return the number of the next attempt: one more than the attempts that left a line."""
    return 1 + max((entry["attempt"] for entry in _attempts(entries, phase, stage)), default=0)


def _attempts(entries: Sequence[Entry], phase: str, stage: str) -> Iterator[Entry]:
    for entry in entries:
        if entry["kind"] in STAGE_KINDS and (entry["iter"], entry["stage"]) == (phase, stage):
            yield entry


def check_names(phase: str, stage: str, status: str) -> None:
    """Refuse a phase, stage or status that the contract does not know (exit 2)."""
    if not _PHASE.fullmatch(phase):
        raise UsageError("phase is not `baseline` or `iter<N>`", value=phase)
    if stage not in STAGES:
        raise UsageError(f"stage is none of {', '.join(STAGES)}", value=stage)
    if status not in STATUSES:
        raise UsageError("status is neither ok nor error", value=status)


def check_transition(
    entries: Sequence[Entry],
    phase: str,
    stage: str,
    status: str,
    *,
    kind: str = "stage",
    attempt: int | None = None,
    reason: str | None = None,
) -> None:
    """Refuse a stage that is not the next one, an attempt that is already logged, or anything after the end.

    `reason` is the stop reason of a `loop_stop`. Manual entries follow one another as claimed; a stage of the
    loop itself follows only what is completed. Raises UsageError for unknown names, StateConflict otherwise.
    """
    check_names(phase, stage, status)
    done = completed(entries, claimed=kind == "manual")
    if done and done[-1][1] == LOOP_STOP:
        raise StateConflict(f"the loop has stopped; {phase}/{stage} cannot follow", value=done[-1][0])
    if attempt is not None and any(entry["attempt"] == attempt for entry in _attempts(entries, phase, stage)):
        raise StateConflict(f"attempt {attempt} of {phase}/{stage} is already logged")
    if stage == LOOP_STOP:
        _check_stop(entries, done, phase, reason)
    else:
        _check_order(entries, done, phase, stage)


def _check_order(entries: Sequence[Entry], done: list[Step], phase: str, stage: str) -> None:
    expected = after(*done[-1]) if done else (BASELINE, ORDER_BASELINE[0])
    if (phase, stage) == expected:
        return
    if (phase, stage) in done:
        raise StateConflict("stage is already completed", value=f"{phase}/{stage}")
    due = "/".join(expected or ())
    raise StateConflict(
        f"stage is out of order ({due} comes next)", value=f"{phase}/{stage}", hint=_order_hint(entries)
    )


def _order_hint(entries: Sequence[Entry]) -> str:
    waiting = len(completed(entries, claimed=True)) > len(completed(entries))
    return "deft audit RUN (it confirms stages logged by hand)" if waiting else "deft next"


def _check_stop(entries: Sequence[Entry], done: list[Step], phase: str, reason: str | None) -> None:
    if reason is not None and reason not in STOP_REASONS:
        raise UsageError(f"stop reason is none of {', '.join(STOP_REASONS)}", value=reason)
    last_phase, last_stage = done[-1] if done else (BASELINE, "")
    coming = after(last_phase, last_stage) if last_stage else None
    if phase not in {last_phase, coming[0] if coming else last_phase}:
        raise StateConflict(f"loop_stop names a phase other than the last ({last_phase})", value=phase)
    if reason == HARD_STOP:
        return
    allowed = STOP_AFTER[reason] if reason else {stage for stages in STOP_AFTER.values() for stage in stages}
    if last_stage not in allowed:
        raise StateConflict(
            f"the loop cannot stop here ({reason or 'no reason'}) after",
            value=last_stage or "no completed stage",
        )
    if reason == "target_met" and _last_values(entries, (last_phase, "evaluate")).get("target_met") is False:
        raise StateConflict("the last evaluation did not meet the target", value=last_phase)


# --- what a line may say of the order ----------------------------------------------------------------


def may_complete(entry: Entry) -> bool:
    """Say whether an entry can complete a stage, and so has to be checked against the log before it."""
    return entry["kind"] in STAGE_KINDS or not {"audited", "seeded"}.isdisjoint(entry["outcome"])


def check_entry(entries: Sequence[Entry], entry: Entry, plan: dict[str, Any]) -> None:
    """Refuse a complete entry that does not follow the entries before it under this plan.

    Raises UsageError for unknown names, StateConflict otherwise.
    """
    _check_audited(entries, entry)
    _check_seeded(entries, entry, plan)
    if entry["kind"] in STAGE_KINDS:
        check_transition(
            entries,
            entry["iter"],
            entry["stage"],
            entry["status"],
            kind=entry["kind"],
            attempt=entry["attempt"],
            reason=values_of(entry).get("stop_reason"),
        )


def _check_audited(entries: Sequence[Entry], entry: Entry) -> None:
    """Refuse a confirmation of anything but stages that were logged by hand as done."""
    if "audited" in entry["outcome"] and entry["kind"] != "note":
        raise StateConflict("only a note can confirm what was logged by hand", value=entry["kind"])
    claimed = {str(other["seq"]) for other in entries if is_claim(other)}
    for name in confirmations(entry):
        if name not in claimed:
            raise StateConflict(f"entry {name} is no stage logged by hand as done", value="audited")


def _check_seeded(entries: Sequence[Entry], entry: Entry, plan: dict[str, Any]) -> None:
    """Let a baseline come trained where the plan says so, once, and before any stage."""
    where = f"{entry['iter']}/{entry['stage']}"
    if "seeded" not in entry["outcome"]:
        if entry["kind"] in STAGE_KINDS and plan.get("baseline") and seed_of(entries) is None:
            raise StateConflict("the plan's checkpoint is not recorded yet", value=where, hint="deft run")
    elif not plan.get("baseline"):
        raise StateConflict("the plan names no baseline that came trained", value=where)
    elif not _is_seed(entry):
        raise StateConflict("only a note of baseline/train says that the baseline came trained", value=where)
    elif any(other["kind"] in STAGE_KINDS or _is_seed(other) for other in entries):
        raise StateConflict("a baseline comes trained once, before any stage", value=where)
