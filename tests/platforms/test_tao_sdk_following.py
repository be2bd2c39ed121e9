"""A job's own last word decides; waiting is no failure, and an end by a signal is a loss."""

from __future__ import annotations

import pytest

from deft.errors import StageFailed
from deft.platforms.base import ToolCall
from deft.platforms.tao_sdk.following import Ending, ending_of
from tao_sdk_fixtures import FolderStorage, Sdk, carried, order_of


@pytest.mark.parametrize("code", [-2, -9, -15, 130, 137, 143])
def test_calls_that_a_signal_ended_were_lost(code: int) -> None:
    assert ending_of({"codes": [0, code]}) is Ending.LOST


@pytest.mark.parametrize(("codes", "ending"), [([0, 0], Ending.DONE), ([0, 1], Ending.FAILED)])
def test_any_other_code_is_the_tools_own_word(codes: list[int], ending: Ending) -> None:
    assert ending_of({"codes": codes}) is ending


def test_a_job_of_a_drained_node_is_sent_again_with_the_work_it_has_done(sdk: Sdk, call: ToolCall) -> None:
    sdk.faults = ["143"]
    carried(call)
    assert len(sdk.created) == 2
    tree = order_of(sdk.created[1]["command"])["tree"].partition("/deft/")[2]
    sent = FolderStorage(call.reads)._record(tree)
    assert sent is not None
    assert {str(call.writes / "model.pth"), str(call.log)} <= set(sent)


def test_a_job_that_is_drained_three_times_is_a_failure(sdk: Sdk, call: ToolCall) -> None:
    sdk.faults = ["143"] * 3
    with pytest.raises(StageFailed, match="lost 3 times"):
        carried(call)


def test_a_failure_that_is_seen_only_after_the_place_called_the_job_ended_is_a_failure(
    sdk: Sdk, call: ToolCall
) -> None:
    def ends_meanwhile(job: str) -> None:
        sdk.carry_out(job, "3")
        sdk.statuses[job] = "Error"

    sdk.faults, sdk.before_end = ["waits"], ends_meanwhile
    with pytest.raises(StageFailed, match="code 3"):
        carried(call)
    assert len(sdk.created) == 1


def test_a_job_may_wait_for_its_turn_beyond_all_patience(sdk: Sdk, call: ToolCall) -> None:
    looks = iter(range(5))

    def begins_late(job: str) -> None:
        if next(looks) == 4:
            sdk.carry_out(job)

    sdk.faults, sdk.before_end = ["queues"], begins_late
    carried(call, lost_seconds=-1)
    assert (len(sdk.created), sdk.canceled) == (1, [])


@pytest.mark.parametrize("fault", ["vanishes", "never arrives"])
def test_a_job_that_only_seems_to_wait_is_sent_again(sdk: Sdk, call: ToolCall, fault: str) -> None:
    sdk.faults = [fault]
    carried(call, lost_seconds=-1)
    assert len(sdk.created) == 2
