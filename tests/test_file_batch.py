"""Files that are replaced together: whole under their names, or not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from deft.file_batch import FileBatch


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_have_their_names_after_the_block_and_not_before(tmp_path: Path) -> None:
    with FileBatch() as batch:
        batch.write(tmp_path / "a" / "one", b"1")
        batch.write(tmp_path / "two", b"2")
        assert not (tmp_path / "a" / "one").exists()
        assert not (tmp_path / "two").exists()
    assert (tmp_path / "a" / "one").read_bytes() == b"1"
    assert names(tmp_path) == ["a", "two"]
    assert names(tmp_path / "a") == ["one"]


def test_a_file_that_stood_there_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"older, and longer")
    with FileBatch() as batch:
        batch.write(tmp_path / "one", b"new")
    assert (tmp_path / "one").read_bytes() == b"new"


def write_two_and_fail(folder: Path) -> None:
    with FileBatch() as batch:
        batch.write(folder / "one", b"new")
        batch.write(folder / "two", b"new")
        raise ZeroDivisionError


def test_a_block_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        write_two_and_fail(tmp_path)
    assert (tmp_path / "one").read_bytes() == b"old"
    assert names(tmp_path) == ["one"]


def test_what_a_killed_process_of_the_same_number_left_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / f".one.{os.getpid()}.tmp").write_bytes(b"half of it, and longer")
    with FileBatch() as batch:
        batch.write(tmp_path / "one", b"new")
    assert (tmp_path / "one").read_bytes() == b"new"
    assert names(tmp_path) == ["one"]


def test_every_content_is_durable_before_its_name_and_every_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    replace, fsync = os.replace, os.fsync

    def name_of(descriptor: int) -> str:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name

    monkeypatch.setattr(os, "fsync", lambda number: (calls.append(f"sync {name_of(number)}"), fsync(number)))
    monkeypatch.setattr(
        os, "replace", lambda old, new: (calls.append(f"name {Path(new).name}"), replace(old, new))
    )
    with FileBatch() as batch:
        batch.write(tmp_path / "one", b"1")
        batch.write(tmp_path / "two", b"2")
    number = os.getpid()
    assert calls == [
        f"sync .one.{number}.tmp",
        f"sync .two.{number}.tmp",
        "name one",
        "name two",
        f"sync {tmp_path.name}",
    ]


def test_a_full_disk_names_the_file_and_leaves_none_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, content: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write_until_it_is_full() -> None:
        with FileBatch() as batch:
            batch.write(tmp_path / "one", b"1")
            monkeypatch.setattr(os, "write", full)
            batch.write(tmp_path / "two", b"2")

    with pytest.raises(OSError, match="No space") as caught:
        write_until_it_is_full()
    assert caught.value.filename == str(tmp_path / "two")
    assert names(tmp_path) == []
