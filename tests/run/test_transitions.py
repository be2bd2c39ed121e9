"""The order of stages: one table, and everything that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deft import files
from deft.errors import Corruption, StateConflict, UsageError
from deft.run.log import LoopLog
from deft.run.transitions import (
    ORDER_BASELINE,
    ORDER_ITERATION,
    STAGES,
    audited_values,
    check_transition,
    completed,
    next_attempt,
    next_stage,
    stop_reason,
)

Entry = dict[str, Any]
Make = Callable[..., Entry]

BASELINE = [f"baseline/{stage}" for stage in ORDER_BASELINE]
ITERATION = [f"iter1/{stage}" for stage in ORDER_ITERATION]


@pytest.fixture
def walk(log: LoopLog, stage: Make) -> Callable[..., list[Entry]]:
    def through(*steps: str) -> list[Entry]:
        for step in steps:
            log.append(stage(step))
        return log.read()

    return through


def test_the_whole_order_of_the_contract_is_accepted(walk: Any, plan: dict[str, Any]) -> None:
    steps = [*BASELINE, *ITERATION, *(step.replace("iter1", "iter2") for step in ITERATION)]
    entries = walk(*steps)
    assert completed(entries) == [tuple(step.split("/")) for step in steps]
    assert next_stage(entries, plan) == ("iter2", "loop_stop")


def test_every_step_has_exactly_one_successor_until_the_iterations_are_used_up(
    log: LoopLog, stage: Make, plan: dict[str, Any]
) -> None:
    seen = []
    while (step := next_stage(log.read(), plan)) is not None:
        seen.append("/".join(step))
        reason = stop_reason(log.read(), plan)
        log.append(stage(seen[-1], **({"stop_reason": reason} if step[1] == "loop_stop" else {})))
    assert seen == [
        *BASELINE,
        *ITERATION,
        *(step.replace("iter1", "iter2") for step in ITERATION),
        "iter2/loop_stop",
    ]


@pytest.mark.parametrize("phase", ["banana", "iter0", "iter", "Baseline", "iter1 ", "iter-1", ""])
def test_an_unknown_phase_is_a_usage_error(phase: str) -> None:
    with pytest.raises(UsageError, match="phase"):
        check_transition([], phase, "train", "ok")


@pytest.mark.parametrize(("stage", "status"), [("cook", "ok"), ("train", "OK"), ("train", "done")])
def test_an_unknown_stage_or_status_is_a_usage_error(stage: str, status: str) -> None:
    with pytest.raises(UsageError):
        check_transition([], "baseline", stage, status)


def test_only_one_stage_may_follow_each_prefix_of_the_order(log: LoopLog, stage: Make) -> None:
    for step in [*BASELINE, *ITERATION]:
        entries = log.read()
        allowed = []
        for phase in ("baseline", "iter1", "iter2", "iter5"):
            for name in STAGES:
                try:
                    check_transition(entries, phase, name, "ok")
                except StateConflict:
                    continue
                allowed.append(f"{phase}/{name}")
        assert [name for name in allowed if not name.endswith("loop_stop")] == [step]
        log.append(stage(step))


def test_a_failed_stage_may_be_tried_again_and_nothing_else(log: LoopLog, stage: Make) -> None:
    log.append(stage("baseline/train", "error"))
    assert next_attempt(log.read(), "baseline", "train") == 2
    with pytest.raises(StateConflict, match="out of order"):
        log.append(stage("baseline/evaluate"))
    log.append(stage("baseline/train", attempt=2))
    assert completed(log.read()) == [("baseline", "train")]


def test_a_stage_fails_only_where_it_could_have_been_done(walk: Any) -> None:
    with pytest.raises(StateConflict, match="out of order"):
        check_transition(walk("baseline/train"), "baseline", "rca", "error")


def test_a_completed_stage_is_not_done_twice(walk: Any) -> None:
    with pytest.raises(StateConflict, match="already completed"):
        check_transition(walk("baseline/train", "baseline/evaluate"), "baseline", "train", "ok", attempt=2)


# --- the end -----------------------------------------------------------------------------------------


def test_a_met_target_stops_the_loop_without_another_analysis(
    walk: Any, log: LoopLog, stage: Make, plan: dict[str, Any]
) -> None:
    walk("baseline/train")
    log.append(stage("baseline/evaluate", target_met=True))
    assert next_stage(log.read(), plan) == ("baseline", "loop_stop")
    assert stop_reason(log.read(), plan) == "target_met"


def test_an_iteration_that_mines_nothing_new_stops_before_training(
    walk: Any, log: LoopLog, stage: Make, plan: dict[str, Any]
) -> None:
    walk(*BASELINE, "iter1/routing", "iter1/anomalygen")
    log.append(stage("iter1/data_mining", new_rows=0))
    assert stop_reason(log.read(), plan) == "nothing_new"
    log.append(stage("iter1/loop_stop", stop_reason="nothing_new"))
    assert next_stage(log.read(), plan) is None


def test_no_iterations_asked_for_means_the_baseline_alone(walk: Any, plan: dict[str, Any]) -> None:
    plan["settings"]["max_iterations"]["value"] = 0
    assert next_stage(walk(*BASELINE), plan) == ("baseline", "loop_stop")


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([], "target_met"),
        (["baseline/train"], "target_met"),
        (["baseline/train", "baseline/evaluate"], "max_iterations"),
        ([*BASELINE, "iter1/routing"], "nothing_new"),
        (["baseline/train"], None),
    ],
)
def test_the_loop_stops_only_where_its_reason_can_hold(
    walk: Any, steps: list[str], reason: str | None
) -> None:
    with pytest.raises(StateConflict, match="cannot stop"):
        check_transition(
            walk(*steps),
            "iter1" if "iter1/routing" in steps else "baseline",
            "loop_stop",
            "ok",
            reason=reason,
        )


def test_a_target_that_was_not_met_cannot_be_the_reason(walk: Any, log: LoopLog, stage: Make) -> None:
    walk("baseline/train")
    log.append(stage("baseline/evaluate", target_met=False))
    with pytest.raises(StateConflict, match="did not meet the target"):
        log.append(stage("baseline/loop_stop", stop_reason="target_met"))


def test_an_unknown_stop_reason_is_a_usage_error(walk: Any) -> None:
    with pytest.raises(UsageError, match="bored"):
        check_transition(walk(*BASELINE), "baseline", "loop_stop", "ok", reason="bored")


@pytest.mark.parametrize("steps", [[], ["baseline/train"], [*BASELINE, "iter1/routing"]])
def test_a_hard_stop_ends_the_loop_anywhere(walk: Any, log: LoopLog, stage: Make, steps: list[str]) -> None:
    entries = walk(*steps)
    phase = entries[-1]["iter"] if entries else "baseline"
    log.append(stage(f"{phase}/loop_stop", stop_reason="hard_stop"))
    assert completed(log.read())[-1] == (phase, "loop_stop")


def test_a_hard_stop_of_an_iteration_that_has_only_failed_names_that_iteration(
    walk: Any, log: LoopLog, stage: Make
) -> None:
    walk(*BASELINE)
    log.append(stage("iter1/routing", "error"))
    log.append(stage("iter1/loop_stop", stop_reason="hard_stop"))
    with pytest.raises(StateConflict, match="other than the last"):
        check_transition(log.read()[:-1], "iter7", "loop_stop", "ok", reason="hard_stop")


@pytest.mark.parametrize("step", ["baseline/rca", "iter1/routing", "baseline/loop_stop"])
@pytest.mark.parametrize("status", ["ok", "error"])
def test_nothing_follows_the_end(walk: Any, log: LoopLog, stage: Make, step: str, status: str) -> None:
    walk(*BASELINE)
    log.append(stage("baseline/loop_stop", stop_reason="hard_stop"))
    with pytest.raises(StateConflict, match="has stopped"):
        log.append(stage(step, status, attempt=2))


# --- by hand, audited, seeded ------------------------------------------------------------------------


def test_stages_logged_by_hand_complete_nothing_until_an_audit(
    log: LoopLog, stage: Make, note: Make, plan: dict[str, Any]
) -> None:
    log.append(stage("baseline/train", kind="manual", best_ckpt_path="/x"))
    log.append(stage("baseline/evaluate", kind="manual", target_met=True))
    assert completed(log.read()) == []
    assert next_stage(log.read(), plan) == ("baseline", "train")
    with pytest.raises(StateConflict, match="deft audit"):
        log.append(stage("baseline/rca"))
    log.append(note(audited={"1": {}, "2": {"target_met": False}}))
    assert completed(log.read()) == [("baseline", "train"), ("baseline", "evaluate")]
    assert next_stage(log.read(), plan) == ("baseline", "rca")


def test_a_stage_logged_by_hand_keeps_the_order_too(log: LoopLog, stage: Make) -> None:
    log.append(stage("baseline/train", kind="manual"))
    with pytest.raises(StateConflict, match="out of order"):
        log.append(stage("baseline/rca", kind="manual"))


def test_a_baseline_that_came_trained_starts_at_evaluate(
    log: LoopLog, stage: Make, note: Make, plan: dict[str, Any]
) -> None:
    log.append(seed(log, note, plan))
    assert next_stage(log.read(), plan) == ("baseline", "evaluate")
    log.append(stage("baseline/evaluate"))
    assert completed(log.read())[0] == ("baseline", "train")


def seed(log: LoopLog, note: Make, plan: dict[str, Any]) -> Entry:
    """Return the note of a baseline that came trained, after writing a plan that names it."""
    plan["baseline"] = {"checkpoint": "/automl/best.pth", "sha256": "0" * 64}
    files.write_json(log.path.with_name("plan.json"), plan)
    return {**note(seeded={"best_ckpt_path": "/automl/best.pth"}), "stage": "train"}


def test_a_note_confirms_nothing_but_what_was_logged_by_hand_before_it(
    log: LoopLog, stage: Make, note: Make
) -> None:
    log.append(stage("baseline/train"))
    log.append(stage("baseline/evaluate", "error", kind="manual"))
    for name in ("1", "2", "3", "4", "x"):
        with pytest.raises(StateConflict, match=f"entry {name} is no stage logged by hand"):
            log.append(note(audited={name: {"target_met": True}}))
    claim = stage("baseline/evaluate", kind="manual", attempt=2)
    with pytest.raises(StateConflict, match="only a note can confirm"):
        log.append({**claim, "outcome": {"audited": {}}})
    log.append(claim)
    assert log.append(note(audited={"3": {"target_met": True}}))["seq"] == 4


def test_a_forged_confirmation_of_a_stage_leaves_its_values(stage: Make, note: Make) -> None:
    claim = stage("baseline/rca", kind="manual")
    entries = [stage("baseline/train"), note(audited={"1": {"far_pct": 0}, "3": {}}), claim]
    for number, entry in enumerate(entries, start=1):
        entry["seq"] = number
    assert audited_values(entries) == {}
    assert audited_values([*entries, {**note(audited={"3": {"x": 1}}), "seq": 4}]) == {3: {"x": 1}}
    assert audited_values([*entries, {**claim, "outcome": {"audited": {"3": {"x": 1}}}}]) == {}


def test_a_baseline_comes_trained_once_and_before_any_stage(
    log: LoopLog, stage: Make, note: Make, plan: dict[str, Any]
) -> None:
    trained = seed(log, note, plan)
    for step in ("baseline/train", "baseline/evaluate"):
        for kind in ("stage", "manual"):
            with pytest.raises(StateConflict, match="checkpoint is not recorded yet"):
                log.append(stage(step, kind=kind))
    for change in ({"iter": "iter1"}, {"stage": "evaluate"}, {"status": "error"}, {"kind": "approval"}):
        with pytest.raises(StateConflict, match="only a note of baseline/train"):
            log.append({**trained, **change})
    log.append(trained)
    with pytest.raises(StateConflict, match="comes trained once"):
        log.append(trained)
    log.append(stage("baseline/evaluate"))
    with pytest.raises(StateConflict, match="comes trained once"):
        log.append(trained)


def test_a_baseline_of_which_the_plan_says_nothing_does_not_come_trained(
    log: LoopLog, note: Make, plan: dict[str, Any]
) -> None:
    trained = seed(log, note, plan)
    files.write_json(log.path.with_name("plan.json"), {**plan, "baseline": None})
    with pytest.raises(StateConflict, match="names no baseline that came trained"):
        log.append(trained)
    log.path.with_name("plan.json").unlink()
    with pytest.raises(StateConflict, match="names no baseline that came trained"):
        log.append(trained)


def test_a_plan_that_is_none_stops_the_log_where_a_stage_depends_on_it(log: LoopLog, stage: Make) -> None:
    log.path.with_name("plan.json").write_text("{}")
    with pytest.raises(Corruption, match="plan"):
        log.append(stage("baseline/train"))


def test_a_forged_second_seed_completes_no_stage(stage: Make, note: Make) -> None:
    trained = {**note(seeded={}), "stage": "train"}
    assert completed([trained, {**trained, "iter": "iter1"}, dict(trained)]) == [("baseline", "train")]
    assert completed([{**trained, "iter": "iter1"}]) == []
    assert completed([stage("baseline/train", "error"), trained]) == []
