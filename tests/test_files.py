"""The writer: whole or not at all, durable in the right order."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from deft import files
from deft.errors import InputRefused


@pytest.mark.parametrize("rows", ["PASS,0.1,zz\nopen,0.9\n", "PASS,0.1\nopen,0.9,zz\n"])
def test_a_row_with_a_surplus_cell_is_refused_and_never_shifted(rows: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("label,siamese_score\n" + rows)
    with pytest.raises(InputRefused):
        files.read_csv(path)


# --- writing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_bytes_and_nothing_else(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.write_text(tmp_path / "a.json", "old")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space left"):
            files.write_text(path, "new")
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("a.json", "old")]


def test_bytes_that_the_system_takes_in_parts_all_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: real(descriptor, content[:3]))
    assert files.write_bytes(tmp_path / "a", b"0123456789").read_bytes() == b"0123456789"


def test_each_new_folder_is_durable_in_its_parent_before_a_file_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    real = files.sync_folder

    def sync(folder: Path) -> None:
        synced.append(folder)
        real(folder)

    monkeypatch.setattr(files, "sync_folder", sync)
    files.write_text(tmp_path / "a" / "b" / "c.txt", "x")
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]


def test_a_line_is_appended_or_put_in_place_of_the_end(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for line in (b"one\n", b"two\n"):
        files.append_line(path, line)
    files.append_line(path, b"2\n", at=4)
    assert path.read_bytes() == b"one\n2\n"


def test_no_line_is_appended_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "lines").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        files.append_line(tmp_path / "lines", b"one\n")
    assert not (tmp_path / "elsewhere").exists()


def test_a_record_has_one_canonical_spelling_and_no_nan(tmp_path: Path) -> None:
    assert files.canonical_json({"b": 1, "a": "µ"}) == '{"a":"µ","b":1}'
    assert files.sha256_of_record({"b": 1, "a": 2}) == files.sha256_of_record({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    kept = files.write_text(tmp_path / "train" / "status.json", "{}")
    left = tmp_path / "train" / ".status.json.123.tmp"
    left.write_text("{")
    files.remove_temporaries(tmp_path)
    assert kept.is_file()
    assert not left.exists()
