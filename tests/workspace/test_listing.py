"""Files are looked up in listings, and only files count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deft.workspace.listing import Listing


def test_files_and_links_to_files_exist_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    listing = Listing()
    names = ("file", "link", "folder", "dangling", "absent", "absent/file", "file/file")
    assert [name for name in names if listing.has_file(str(tmp_path / name))] == ["file", "link"]


def test_a_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(folder) or scandir(folder))
    listing = Listing()
    for n in range(3):
        listing.has_file(f"{tmp_path}/{n}")
    assert listed == [str(tmp_path)]
