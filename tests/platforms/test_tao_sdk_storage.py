"""Inputs travel by content; outputs come back by proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deft import files
from deft.errors import Corruption, EnvironmentMissing, InputRefused
from deft.platforms.base import ToolCall
from deft.platforms.tao_sdk import storage as module
from tao_sdk_fixtures import FolderStorage, Sdk, carried, notes


def test_inputs_travel_once_by_content_without_the_credentials_file(sdk: Sdk, call: ToolCall) -> None:
    carried(call)
    blobs = FolderStorage.root / "bucket" / "deft" / "blobs"
    contents = {path.read_text() for path in blobs.iterdir()}
    assert {"rows", "incumbent"} <= contents
    assert not any("canary" in content for content in contents)
    times = {path: path.stat().st_mtime_ns for path in blobs.iterdir()}
    notes(call)[0].unlink()
    carried(call)
    assert {path: path.stat().st_mtime_ns for path in times} == times


# --- uploads that do not come to their end -------------------------------------------------------


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return files.write_text(tmp_path / "table.csv", "rows of a table")


def blob(path: Path) -> Path:
    return FolderStorage.root / "bucket" / "deft" / "blobs" / files.sha256_of_file(path)


def beside_blobs() -> list[Path]:
    return list((FolderStorage.root / "bucket" / "deft" / "uploads").iterdir())


class Failing:
    """A file of which the second block cannot be read."""

    def __init__(self, path: Path, mode: str) -> None:
        self.blocks = iter([path.read_bytes()[:4]])

    def __enter__(self) -> Failing:
        return self

    def __exit__(self, *whatever: object) -> None:
        """Leave the file as it is."""

    def read(self, size: int) -> bytes:
        for block in self.blocks:
            return block
        raise OSError("the connection fell")


@pytest.mark.parametrize("largest_copy", [5 << 30, 0])
def test_an_upload_that_breaks_off_leaves_no_blob_and_is_made_again(
    sdk: Sdk, call: ToolCall, table: Path, monkeypatch: pytest.MonkeyPatch, largest_copy: int
) -> None:
    monkeypatch.setattr(module, "LARGEST_COPY", largest_copy)
    with monkeypatch.context() as patch:
        patch.setattr(module, "open", Failing, raising=False)
        with pytest.raises(OSError, match="connection fell"):
            FolderStorage(call.reads).send([table])
    assert not blob(table).exists()
    assert beside_blobs() == []
    FolderStorage(call.reads).send([table])
    assert blob(table).read_text() == "rows of a table"
    assert beside_blobs() == []


def test_a_blob_has_its_name_only_once_it_is_whole(
    sdk: Sdk, call: ToolCall, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, seen = FolderStorage._copy, []

    def looked_at(storage: FolderStorage, path: Path, place: str) -> str:
        digest = copy(storage, path, place)
        seen.append(blob(path).exists())
        return digest

    monkeypatch.setattr(FolderStorage, "_copy", looked_at)
    FolderStorage(call.reads).send([table])
    assert seen == [False]
    assert blob(table).exists()


def test_a_part_of_a_file_under_the_name_of_the_whole_is_sent_again(
    sdk: Sdk, call: ToolCall, table: Path
) -> None:
    files.write_text(blob(table), "rows")
    FolderStorage(call.reads).send([table])
    assert blob(table).read_text() == "rows of a table"


def test_a_file_that_changes_while_it_is_sent_is_refused_by_name(
    sdk: Sdk, call: ToolCall, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, whole = FolderStorage._upload, blob(table)

    def changed(storage: FolderStorage, path: Path, digest: str, size: int) -> None:
        path.write_text("rows of another")
        upload(storage, path, digest, size)

    monkeypatch.setattr(FolderStorage, "_upload", changed)
    with pytest.raises(InputRefused, match=f"changed while it was sent: {table}"):
        FolderStorage(call.reads).send([table])
    assert not whole.exists()
    assert beside_blobs() == []


# --- outputs -------------------------------------------------------------------------------------


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
