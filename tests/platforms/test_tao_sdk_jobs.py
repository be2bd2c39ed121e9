"""A submission is noted before it is made and found again after a kill, in whatever folder that is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deft.errors import EnvironmentMissing, StageFailed
from deft.platforms.base import ToolCall
from deft.platforms.containers import last_status
from tao_sdk_fixtures import (
    FolderStorage,
    Sdk,
    carried,
    in_folder,
    is_withdrawn,
    notes,
    of_attempt,
)


def test_no_credential_stands_in_the_command(sdk: Sdk, call: ToolCall) -> None:
    carried(call)
    assert "canary" not in sdk.created[0]["command"]


def test_a_job_is_found_again_by_a_process_that_comes_after_a_kill(sdk: Sdk, call: ToolCall) -> None:
    carried(call)
    (call.writes / "model.pth").unlink()
    carried(call)
    assert (call.writes / "model.pth").exists()
    assert len(sdk.created) == 1


def test_a_submission_that_nobody_can_name_may_not_begin(sdk: Sdk, call: ToolCall) -> None:
    sdk.faults = ["killed"]
    with pytest.raises(OSError, match="dies"):
        carried(call)
    carried(call)
    assert len(sdk.created) == 2
    assert is_withdrawn(sdk.created[0]["command"])


def test_a_submission_that_began_before_its_runner_was_killed_is_followed(sdk: Sdk, call: ToolCall) -> None:
    sdk.faults = ["begins, killed"]
    with pytest.raises(OSError, match="dies"):
        carried(call)
    (note,) = notes(call)
    sdk.statuses["job-0"] = "Running"
    sdk.before_end = lambda job: take_place(call, sdk)
    carried(call)
    assert notes(call) == [note]
    assert len(sdk.created) == 1


def take_place(call: ToolCall, sdk: Sdk) -> None:
    """Let the first job do its work, though it is withdrawn: it had begun before."""
    withdrawn = FolderStorage.root.rglob("withdrawn")
    for path in withdrawn:
        path.unlink()
    sdk.carry_out("job-0")


# --- what failed is not taken over ---------------------------------------------------------------


@pytest.mark.parametrize("code", ["3", "0"])
def test_a_job_that_failed_is_told_once_and_the_next_attempt_submits_its_own(
    sdk: Sdk, call: ToolCall, code: str
) -> None:
    sdk.faults = [code]
    with pytest.raises(StageFailed, match=f"code {code}"):
        carried(call)
    carried(of_attempt(call, 2))
    assert len(sdk.created) == 2


def test_of_a_failure_that_nobody_told_the_work_is_kept_and_the_job_is_not(
    sdk: Sdk, call: ToolCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*whatever: object) -> None:
        raise KeyboardInterrupt

    sdk.faults = ["3"]
    with monkeypatch.context() as patch:
        patch.setattr(FolderStorage, "take", killed)
        with pytest.raises(KeyboardInterrupt):
            carried(call)
    carried(call)
    assert len(sdk.created) == 2
    assert "Execution status: FAIL" in call.log.read_text()
    assert last_status(call.log) == "PASS"


def test_outputs_that_an_attempt_has_taken_and_failed_with_serve_no_other(sdk: Sdk, call: ToolCall) -> None:
    carried(call)
    carried(of_attempt(call, 2))
    assert len(sdk.created) == 2


# --- from one attempt to the next ----------------------------------------------------------------


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the storage be silent once for each entry of the list."""
    answer, failures = FolderStorage.result, []

    def asked(storage: FolderStorage, job: str) -> object:
        if failures:
            raise OSError(failures.pop())
        return answer(storage, job)

    monkeypatch.setattr(FolderStorage, "result", asked)
    return failures


def test_a_storage_that_is_silent_for_a_while_costs_no_job(
    sdk: Sdk, call: ToolCall, silent: list[str]
) -> None:
    silent.extend(["When reading information: curlCode: 28, Timeout was reached"] * 3)
    carried(call, lost_seconds=60)
    assert (call.writes / "model.pth").exists()
    assert (len(sdk.created), sdk.canceled) == (1, [])


def test_a_job_goes_on_where_its_storage_stays_silent_and_the_next_attempt_takes_it_over(
    sdk: Sdk, call: ToolCall, silent: list[str]
) -> None:
    silent.append("Timeout was reached")
    with pytest.raises(StageFailed, match=r"storage does not answer.*Timeout was reached"):
        carried(call)
    assert sdk.canceled == []
    later = in_folder(of_attempt(call, 2), "train.attempt-2")
    carried(later)
    assert len(sdk.created) == 1
    assert (later.writes / "model.pth").exists()
    assert not call.writes.exists()


def crash(job: str) -> None:
    raise OSError("the runner dies here")


@pytest.fixture
def left(sdk: Sdk, call: ToolCall) -> Sdk:
    """Let a killed runner leave a job at work."""
    sdk.faults, sdk.before_end = ["waits"], crash
    with pytest.raises(OSError, match="dies"):
        carried(call)
    sdk.before_end = lambda job: None
    return sdk


def of_other_inputs(call: ToolCall) -> ToolCall:
    assert call.identity is not None
    return replace(call, identity=replace(call.identity, key="other"))


def test_what_was_begun_for_other_inputs_is_ended_before_the_next_is_submitted(
    left: Sdk, call: ToolCall
) -> None:
    carried(of_other_inputs(call))
    assert left.canceled == ["job-0"]
    assert is_withdrawn(left.created[0]["command"])
    assert len(notes(call)) == 1


def test_nothing_is_submitted_beside_a_job_of_other_inputs_that_may_still_run(
    left: Sdk, call: ToolCall
) -> None:
    left.deaf = {"job-0"}
    with pytest.raises(EnvironmentMissing, match=r"may still run.*: job-0"):
        carried(of_other_inputs(call))
    assert len(left.created) == 1


def test_a_step_by_hand_takes_no_earlier_result_for_its_own(sdk: Sdk, call: ToolCall) -> None:
    step = replace(call, identity=None)
    carried(step)
    carried(step)
    assert len(sdk.created) == 2
    assert not list(call.writes.parent.glob(".*.jobs"))


def test_a_step_by_hand_ends_the_job_that_an_earlier_one_left(sdk: Sdk, call: ToolCall) -> None:
    step = replace(call, identity=None)
    sdk.faults, sdk.before_end = ["waits"], crash
    with pytest.raises(OSError, match="dies"):
        carried(step)
    sdk.before_end = lambda job: None
    carried(step)
    assert (len(sdk.created), sdk.canceled) == (2, ["job-0"])
