"""Files are looked up in listings, and only files count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deft.workspace.listing import Listing
from deft.workspace.safe_path import Roots


def test_files_and_links_to_files_exist_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    listing = Listing(Roots.of(tmp_path))
    names = ("file", "link", "folder", "dangling", "absent", "absent/file", "file/file")
    assert [name for name in names if listing.has_file(str(tmp_path / name))] == ["file", "link"]


def test_a_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(folder) or scandir(folder))
    listing = Listing(Roots.of(tmp_path))
    for n in range(3):
        listing.has_file(f"{tmp_path}/{n}")
    assert listed == [str(tmp_path)]


def test_a_link_that_leads_out_of_the_roots_is_no_file(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root, outside):
        folder.mkdir()
    (outside / "file").touch()
    (root / "link").symlink_to(outside / "file")
    (root / "folder").symlink_to(outside)
    listing = Listing(Roots.of(root))
    assert not any(listing.has_file(str(root / name)) for name in ("link", "folder/file", "../outside/file"))


def test_a_folder_below_a_link_that_leads_out_is_empty_and_one_below_a_link_inside_is_not(
    tmp_path: Path,
) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside / "real" / "deep", outside / "deep"):
        folder.mkdir(parents=True)
        (folder / "a.jpg").touch()
    (inside / "out").symlink_to(outside)
    (inside / "in").symlink_to("real")
    listing = Listing(Roots.of(inside))
    assert listing.has_file(f"{inside}/in/deep/a.jpg")
    assert listing.has_file(f"{inside}/real/deep/a.jpg")
    assert not listing.has_file(f"{inside}/out/deep/a.jpg")
    assert not listing.has_file(f"{inside}/real/../out/deep/a.jpg")
