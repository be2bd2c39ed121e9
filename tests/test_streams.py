from __future__ import annotations

from pathlib import Path

import pytest

from deft.streams import copy, creating, publish_first, replacing


def test_a_stream_replaces_a_file_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a"
    with replacing(path) as stream:
        stream.write(b"one")
    with pytest.raises(TypeError), replacing(path) as stream:
        stream.writelines([b"two", "no bytes"])  # type: ignore[list-item]
    assert path.read_bytes() == b"one"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_created_once(tmp_path: Path) -> None:
    with creating(tmp_path / "a") as stream:
        stream.write(b"one")
    with pytest.raises(FileExistsError), creating(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_bytes() == b"one"


def test_a_file_whose_creation_fails_goes_again(tmp_path: Path) -> None:
    with pytest.raises(TypeError), creating(tmp_path / "a") as stream:
        stream.writelines([b"one", "no bytes"])  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_publish_the_first_stands(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    assert publish_first(tmp_path / "one", tmp_path / "a")
    assert not publish_first(tmp_path / "two", tmp_path / "a")
    assert (tmp_path / "a").read_text() == "one"


def test_a_copy_is_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    copy(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a").write_bytes(b"")
    assert (tmp_path / "b").stat().st_size == 3_000_000
