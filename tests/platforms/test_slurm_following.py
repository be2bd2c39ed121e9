"""What became of a job: its own result first, Slurm's word only where there is none."""

from __future__ import annotations

import pytest

from deft.platforms.slurm.cluster import Seen
from deft.platforms.slurm.following import Ending, Sight, judge
from deft.platforms.slurm.jobs import Result

PASSED, BROKEN, ENDED = Result((0, 0), {}), Result((0, 1), {}), Result((143,), {})
GRACE = 60.0
LONG = 61.0


def seen(state: str, reason: str = "None") -> Seen:
    return Seen("7", state, reason, None)


def sight(state: Seen | None, result: Result | None = None, inactive: float = 0.0, **more) -> Sight:
    return Sight(state, result, inactive, **more)


CASES = {
    "a result stands whatever slurm says": (sight(seen("NODE_FAIL"), PASSED), Ending.DONE),
    "a result stands where slurm knows nothing": (sight(None, PASSED), Ending.DONE),
    "a job that is completed but shows no result yet": (sight(seen("COMPLETED")), None),
    "completed, and no result came": (sight(seen("COMPLETED"), None, LONG), Ending.LOST),
    "a tool that failed": (sight(seen("RUNNING"), BROKEN), Ending.FAILED),
    "waiting": (sight(seen("PENDING", "Priority")), None),
    "held by a person": (sight(seen("PENDING", "JobHeldUser")), None),
    "never startable": (sight(seen("PENDING", "PartitionTimeLimit")), Ending.NEVER),
    "could not be launched": (sight(seen("PENDING", "launch failed requeued held")), Ending.LOST),
    "running": (sight(seen("RUNNING")), None),
    "unknown for a moment": (sight(None), None),
    "unknown for long": (sight(None, None, LONG), Ending.LOST),
    "a dead node, just now": (sight(seen("NODE_FAIL")), None),
    "a dead node": (sight(seen("NODE_FAIL"), None, LONG, was_started=True), Ending.LOST),
    "preempted": (sight(seen("PREEMPTED"), ENDED, LONG), Ending.LOST),
    "the node cannot write": (sight(seen("FAILED"), None, LONG), Ending.UNSEEN),
    "the script died": (sight(seen("FAILED"), None, LONG, was_started=True), Ending.LOST),
    "cancelled by a person": (sight(seen("CANCELLED")), Ending.CANCELLED),
    "cancelled after it saved": (sight(seen("CANCELLED"), ENDED), Ending.CANCELLED),
    "cancelled because its number was used": (
        sight(seen("CANCELLED"), number_was_used=True),
        Ending.LOST,
    ),
    "signalled by a person": (sight(seen("FAILED"), ENDED), Ending.CANCELLED),
    "saved, still in the books": (sight(seen("COMPLETING"), ENDED), None),
    "time is up, checkpoint saved": (sight(seen("FAILED"), ENDED, seconds_left=55), Ending.TIME),
    "time is up": (sight(seen("TIMEOUT")), Ending.TIME),
    "out of memory": (sight(seen("OUT_OF_MEMORY")), Ending.MEMORY),
    "stopped by us": (sight(seen("CANCELLED"), asked_to_stop=True), Ending.STOPPED),
    "stopped by us and forgotten": (sight(None, asked_to_stop=True), Ending.STOPPED),
    "stopped by us, not yet ended": (sight(seen("RUNNING"), asked_to_stop=True), None),
    "stopped by us, but it was done": (sight(seen("CANCELLED"), PASSED, asked_to_stop=True), Ending.DONE),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.replace(" ", "-"))
def test_each_sight_of_a_job_has_its_verdict(case):
    given, wanted = CASES[case]
    assert judge(given, GRACE) is wanted
