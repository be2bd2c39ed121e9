"""A job that nobody waits for is ended: by who is asked to stop, or after its runner was killed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deft.errors import EnvironmentMissing
from deft.platforms.base import ToolCall
from deft.platforms.registry import platform_named
from deft.platforms.tao_sdk.backends import KUBERNETES
from tao_sdk_fixtures import FolderStorage, Sdk, carried, is_withdrawn, notes, run_of


def killed(job: str) -> None:
    raise OSError("the runner dies here")


def stopped(job: str) -> None:
    raise KeyboardInterrupt


def ended(call: ToolCall, grace_seconds: float = 0) -> list[str]:
    settings = {"poll_seconds": 0, "grace_seconds": grace_seconds}
    return platform_named("kubernetes", settings).end(run_of(call))


def left(sdk: Sdk, call: ToolCall, fault: str) -> None:
    """Let a runner submit a job and be killed."""
    sdk.faults, sdk.before_end = [fault], killed
    with pytest.raises(OSError, match="dies"):
        carried(call)
    sdk.before_end = lambda job: None


def test_a_job_that_a_killed_runner_left_is_cancelled_once(sdk: Sdk, call: ToolCall) -> None:
    left(sdk, call, "waits")
    assert ended(call) == ["job-0"] == sdk.canceled
    assert ended(call) == []
    carried(call)
    assert (len(sdk.created), ended(call)) == (2, [])


def test_a_job_whose_end_nobody_confirms_stays_noted_until_the_place_answers(
    sdk: Sdk, call: ToolCall
) -> None:
    left(sdk, call, "waits")
    sdk.deaf = {"job-0"}
    with pytest.raises(EnvironmentMissing, match=r"may still run.*: job-0") as refusal:
        ended(call)
    (note,) = notes(call)
    assert str(note) in refusal.value.hint
    sdk.deaf = set()
    assert ended(call) == ["job-0"]
    assert notes(call) == []


def test_a_job_that_has_ended_by_itself_needs_no_confirmation(sdk: Sdk, call: ToolCall) -> None:
    left(sdk, call, "waits")
    sdk.deaf, sdk.statuses["job-0"] = {"job-0"}, "Error"
    assert ended(call) == ["job-0"]
    assert notes(call) == []


def test_one_job_that_cannot_be_ended_keeps_no_other_at_work(sdk: Sdk, call: ToolCall) -> None:
    assert call.identity is not None
    left(sdk, call, "waits")
    left(sdk, replace(call, identity=replace(call.identity, stage="a stage before")), "waits")
    sdk.deaf = {"job-1"}
    with pytest.raises(EnvironmentMissing, match="job-1"):
        ended(call)
    assert sorted(sdk.canceled) == ["job-0", "job-1"]
    assert len(notes(call)) == 1


def test_a_submission_that_nobody_can_name_is_withdrawn(sdk: Sdk, call: ToolCall) -> None:
    left(sdk, call, "killed")
    assert ended(call) == []
    assert is_withdrawn(sdk.created[0]["command"])
    assert notes(call) == []


def test_a_job_that_was_killed_before_its_name_was_noted_is_ended_by_the_name_it_gave_itself(
    sdk: Sdk, call: ToolCall
) -> None:
    left(sdk, call, "begins, killed")
    sdk.statuses["job-0"] = "Running"
    assert ended(call) == ["job-0"] == sdk.canceled
    assert is_withdrawn(sdk.created[0]["command"])


@pytest.mark.parametrize("deaf", [set(), {"job-0"}])
def test_nobody_waits_for_what_a_queued_job_could_bring_back(
    sdk: Sdk, call: ToolCall, monkeypatch: pytest.MonkeyPatch, deaf: set[str]
) -> None:
    def refuse(seconds: float) -> None:
        pytest.fail("waits")

    left(sdk, call, "queues")
    sdk.deaf = deaf
    monkeypatch.setattr("time.sleep", refuse)
    if deaf:
        with pytest.raises(EnvironmentMissing, match="may still run"):
            ended(call, grace_seconds=60)
    else:
        assert ended(call, grace_seconds=60) == ["job-0"]


def test_a_job_that_still_runs_is_waited_for_and_its_checkpoint_taken(
    sdk: Sdk, call: ToolCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(seconds: float) -> None:
        for path in FolderStorage.root.rglob("withdrawn"):  # it had begun before
            path.unlink()
        sdk.carry_out("job-0", "143")

    left(sdk, call, "waits")
    sdk.deaf = {"job-0"}
    monkeypatch.setattr("time.sleep", finish)
    assert ended(call, grace_seconds=60) == ["job-0"]
    assert (call.writes / "model.pth").exists()


def test_where_nothing_is_left_the_place_is_not_asked(
    sdk: Sdk, call: ToolCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(backend: object) -> None:
        raise EnvironmentMissing("cannot be reached")

    carried(call)
    monkeypatch.setattr(type(KUBERNETES), "connect", unreachable)
    assert ended(call) == []


def test_a_silent_storage_is_named_and_the_job_stays_noted(
    sdk: Sdk, call: ToolCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(storage: FolderStorage, job: str) -> None:
        raise OSError("Timeout was reached")

    left(sdk, call, "waits")
    monkeypatch.setattr(FolderStorage, "result", silent)
    with pytest.raises(EnvironmentMissing, match=r"does not answer: Timeout was reached"):
        ended(call)
    assert len(notes(call)) == 1


# --- asked to stop -------------------------------------------------------------------------------


def test_a_request_to_stop_ends_the_job(sdk: Sdk, call: ToolCall) -> None:
    def once(job: str) -> None:
        sdk.before_end = lambda job: None
        raise KeyboardInterrupt

    sdk.faults, sdk.before_end = ["waits"], once
    with pytest.raises(KeyboardInterrupt):
        carried(call)
    assert sdk.canceled == ["job-0"]
    assert notes(call) == []


def test_a_request_to_stop_in_the_middle_of_a_submission_ends_what_was_submitted(
    sdk: Sdk, call: ToolCall
) -> None:
    sdk.faults = ["begins, stopped"]
    with pytest.raises(KeyboardInterrupt):
        carried(call)
    assert sdk.canceled == ["job-0"]
    assert notes(call) == []


def test_a_request_to_stop_is_heard_where_the_place_confirms_nothing_and_the_job_stays_noted(
    sdk: Sdk, call: ToolCall
) -> None:
    sdk.faults, sdk.before_end, sdk.deaf = ["waits"], stopped, {"job-0"}
    with pytest.raises(KeyboardInterrupt):
        carried(call)
    assert len(notes(call)) == 1
