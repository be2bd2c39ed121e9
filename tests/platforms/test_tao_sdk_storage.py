"""Inputs travel by content; outputs come back by proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deft.errors import Corruption, EnvironmentMissing
from deft.platforms.base import ToolCall
from deft.platforms.tao_sdk.jobs import NOTE
from tao_sdk_fixtures import FolderStorage, Sdk, carried


def test_inputs_travel_once_by_content_without_the_credentials_file(sdk: Sdk, call: ToolCall) -> None:
    carried(call)
    blobs = FolderStorage.root / "bucket" / "deft" / "blobs"
    contents = {path.read_text() for path in blobs.iterdir()}
    assert {"rows", "incumbent"} <= contents
    assert not any("canary" in content for content in contents)
    times = {path: path.stat().st_mtime_ns for path in blobs.iterdir()}
    (call.writes / NOTE).unlink()
    carried(call)
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_an_output_that_is_not_what_the_job_hashed_is_corruption(
    sdk: Sdk, call: ToolCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = FolderStorage.take

    def damaged(storage: FolderStorage, job: str, result: Any, folder: Path) -> None:
        path = storage.root / "bucket" / "deft" / "jobs" / job / "files" / "model.pth"
        path.write_text("other weights")
        take(storage, job, result, folder)

    monkeypatch.setattr(FolderStorage, "take", damaged)
    with pytest.raises(Corruption, match="not what the job wrote"):
        carried(call)
    assert not (call.writes / "model.pth").exists()


def test_a_job_cannot_write_beside_its_folder(sdk: Sdk, call: ToolCall) -> None:
    storage = FolderStorage(call.reads)
    with pytest.raises(Exception, match="leads upwards"):
        storage.take("x", {"files": {"../../escaped": "0"}}, call.writes)


def test_a_bucket_must_be_named(sdk: Sdk, call: ToolCall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S3_BUCKET_NAME")
    with pytest.raises(EnvironmentMissing, match="no bucket") as refusal:
        carried(call)
    assert ".env" in (refusal.value.hint or "")
