"""Jobs through NVIDIA's SDK: submitted, followed, sent again, checked before."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deft.errors import StageFailed
from deft.platforms.base import ToolCall
from deft.platforms.registry import platform_named
from deft.platforms.tao_sdk import carry
from tao_sdk_fixtures import DIGEST, Sdk, carried, order_of


def test_outputs_come_back_and_the_log_says_what_the_tool_saw(sdk: Sdk, call: ToolCall) -> None:
    carried(call, namespace="line4")
    assert (call.writes / "model.pth").read_text() == "weights\n"
    assert "seen: incumbent" in call.log.read_text()
    assert (sdk.created[0]["image"], sdk.created[0]["namespace"]) == (DIGEST, "line4")


def test_a_tool_that_fails_is_named_by_its_own_last_status(
    sdk: Sdk, call: ToolCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODE", "0")
    monkeypatch.setenv("STATUS", "FAIL")
    with pytest.raises(StageFailed, match="FAIL"):
        carried(call)


def test_a_lost_job_is_submitted_anew_and_the_lost_one_may_not_begin_late(sdk: Sdk, call: ToolCall) -> None:
    sdk.faults = ["lost"]
    carried(call)
    assert len(sdk.created) == 2
    assert sdk.canceled == ["job-0"]
    before = set(call.writes.iterdir())
    assert carry.main(order_of(sdk.created[0]["command"])) == 0
    assert set(call.writes.iterdir()) == before


def test_a_job_that_is_lost_three_times_is_a_failure(sdk: Sdk, call: ToolCall) -> None:
    sdk.faults = ["lost"] * 3
    with pytest.raises(StageFailed, match="lost 3 times"):
        carried(call)
    assert call.log.read_text() == "job-0: out of memory\njob-1: out of memory\njob-2: out of memory\n"


def test_what_the_place_says_is_wrong_with_the_job_ends_it_at_once(sdk: Sdk, call: ToolCall) -> None:
    sdk.faults = ["image"]
    with pytest.raises(StageFailed, match="cannot be started") as refusal:
        carried(call)
    assert refusal.value.hint == "Image pull failed."
    assert len(sdk.created) == 1


@pytest.mark.parametrize("name", ["kubernetes", "brev", "remote-slurm"])
def test_each_place_says_in_one_line_each_what_is_missing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tao_sdk", None)
    monkeypatch.delenv("S3_BUCKET_NAME", raising=False)
    checks = {check.name: check for check in platform_named(name).checks(tmp_path)}
    assert {"nvidia-tao-sdk", "storage", name} <= set(checks)
    assert all("\n" not in check.detail and check.cure for check in checks.values() if not check.passed)
    assert not checks["storage"].passed
