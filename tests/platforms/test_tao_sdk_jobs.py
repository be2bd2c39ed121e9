"""A submission is noted before it is made and found again after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft.errors import StageFailed
from deft.platforms.base import ToolCall
from deft.platforms.registry import platform_named
from deft.platforms.tao_sdk.jobs import NOTE
from deft.workspace.layout import RunFolder
from tao_sdk_fixtures import FolderStorage, Sdk, carried, order_of


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
    with pytest.raises(KeyboardInterrupt):
        carried(call)
    carried(call)
    assert len(sdk.created) == 2
    nobody = order_of(sdk.created[0]["command"])
    assert (Path(nobody["job"].removeprefix("file://")) / "withdrawn").exists()


def test_a_request_to_stop_ends_the_job_and_keeps_what_it_has_done(sdk: Sdk, call: ToolCall) -> None:
    def interrupt(job: str) -> None:
        raise KeyboardInterrupt

    sdk.faults, sdk.before_end = ["waits"], interrupt
    with pytest.raises(KeyboardInterrupt):
        carried(call)
    assert sdk.canceled == ["job-0"]
    assert not (call.writes / NOTE).exists()


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


def test_a_job_goes_on_where_its_storage_stays_silent_and_the_next_run_takes_it_over(
    sdk: Sdk, call: ToolCall, silent: list[str]
) -> None:
    silent.append("Timeout was reached")
    with pytest.raises(StageFailed, match=r"storage does not answer.*Timeout was reached"):
        carried(call)
    assert sdk.canceled == []
    carried(call)
    assert len(sdk.created) == 1


def test_a_job_that_a_killed_runner_left_is_cancelled_once(sdk: Sdk, call: ToolCall) -> None:
    def crash(job: str) -> None:
        raise OSError("the runner dies here")

    run = RunFolder(call.writes.parents[1])
    sdk.faults, sdk.before_end = ["waits"], crash
    with pytest.raises(OSError, match="dies"):
        carried(call)
    platform = platform_named("kubernetes", {"poll_seconds": 0, "grace_seconds": 0})
    assert platform.end(run) == ["job-0"] == sdk.canceled
    assert platform.end(run) == []
    sdk.before_end = lambda job: None
    carried(call)
    assert (len(sdk.created), platform.end(run)) == (2, [])
