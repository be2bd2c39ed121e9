"""A path from data leads to a file beneath a root, or it is refused."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from deft.errors import InputRefused
from deft.workspace import safe_path as module
from deft.workspace.layout import Workspace
from deft.workspace.safe_path import Roots, fault_of, has_openat2, safe_path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with a file, a link that stays inside and three that lead to a secret outside."""
    folder = tmp_path / "root"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    (folder / "link").symlink_to("inner/file")
    (folder / "absolute").symlink_to(folder / "inner" / "file")
    (folder / "escape").symlink_to("../secret")
    (folder / "up").symlink_to("..")
    (folder / "chain").symlink_to("escape")
    return folder


@pytest.fixture(params=["openat2", "part by part"])
def opening(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Open once as the kernel can, once as it must where it cannot."""
    if request.param == "openat2" and not has_openat2():
        pytest.skip("this kernel has no openat2")
    monkeypatch.setattr(module, "has_openat2", lambda: request.param == "openat2")
    return str(request.param)


@pytest.mark.parametrize("name", ["inner/file", "link", "absolute", "inner/../inner/file", "./inner//file"])
def test_what_stays_inside_is_read(root: Path, name: str, opening: str) -> None:
    with Roots.of(root).open(root / name) as stream:
        assert stream.read() == b"inside"


@pytest.mark.parametrize(
    "name", ["escape", "chain", "up/secret", "../secret", "/etc/passwd", "up/up/" + "root/up/secret"]
)
def test_what_leads_out_is_refused(root: Path, name: str, opening: str) -> None:
    with pytest.raises(InputRefused, match="leads out of the folder"):
        Roots.of(root).open(root / name)
    assert not Roots.of(root).hold(root / name)


@pytest.mark.parametrize("where", ["file", "folder"])
def test_a_link_that_is_swapped_in_after_the_check_is_refused(
    root: Path, where: str, opening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root.parent / "inner").mkdir()
    (root.parent / "inner" / "file").write_bytes(b"outside")
    place = root / "inner" / "file" if where == "file" else root / "inner"
    realpath = os.path.realpath

    def check_then_swap(path: str) -> str:
        found = realpath(path)
        if place.name in found and not place.is_symlink():
            place.rename(root / "away")
            place.symlink_to(root.parent / "inner" / "file" if where == "file" else root.parent / "inner")
        return found

    roots = Roots.of(root)
    monkeypatch.setattr(os.path, "realpath", check_then_swap)
    with pytest.raises(InputRefused, match="changed while it was opened"):
        roots.open(root / "inner" / "file")


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_only_a_regular_file_is_opened(root: Path, kind: str, opening: str) -> None:
    path = root / "thing"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    with pytest.raises(InputRefused, match="no regular file"):
        Roots.of(root).open(path)


def test_a_file_that_is_gone_is_the_systems_error_with_its_name(root: Path, opening: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Roots.of(root).open(root / "gone")
    assert caught.value.filename == str(root / "gone")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "empty"),
        ("a\0b", "NUL"),
        ("a\\b", "backslash"),
        ("a/../b", "upwards"),
        ("..", "upwards"),
        ("a..b", ""),
    ],
)
def test_the_text_of_a_path_is_judged_first(name: str, fault: str) -> None:
    assert fault in fault_of(name)
    assert bool(fault) == bool(fault_of(name))


@pytest.mark.parametrize("name", ["/inner/file", "../secret", "escape", "inner\\file", "a\0", "", "up/new"])
def test_a_name_from_data_that_could_leave_its_root_is_refused(root: Path, name: str) -> None:
    with pytest.raises(InputRefused, match="path from data"):
        safe_path(root, name)


def test_a_name_below_the_root_is_returned_whether_or_not_it_exists(root: Path) -> None:
    assert safe_path(root, "inner/file") == root / "inner" / "file"
    assert safe_path(root, "inner/new") == root / "inner" / "new"


def test_a_root_that_is_a_link_is_the_users_choice(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(root)
    assert Roots.of(tmp_path / "mine").hold(tmp_path / "mine" / "inner" / "file")


def test_a_file_with_a_second_name_is_read_but_never_copied(root: Path) -> None:
    os.link(root.parent / "secret", root / "hard")
    with pytest.raises(InputRefused, match="second name"):
        Roots.of(root).read_for_copy(root / "hard")
    assert Roots.of(root).read_for_copy(root / "inner" / "file") == b"inside"


def test_the_data_folders_of_a_workspace_may_be_links(tmp_path: Path) -> None:
    workspace, disk = Workspace(tmp_path / "workspace"), tmp_path / "disk"
    disk.mkdir()
    (disk / "image").touch()
    workspace.baseline_spec.parent.mkdir(parents=True)
    (workspace.root / "kpi").mkdir()
    (workspace.root / "kpi" / "images").symlink_to(disk)
    assert not Roots.of(workspace.root).hold(workspace.images / "image")
    workspace.baseline_spec.touch()
    assert Roots.of(workspace.root).hold(workspace.images / "image")


def test_data_that_looks_like_a_workspace_inside_one_gets_no_roots_of_its_own(tmp_path: Path) -> None:
    inner = Workspace(tmp_path / "images")
    for spec in (Workspace(tmp_path).baseline_spec, inner.baseline_spec):
        spec.parent.mkdir(parents=True)
        spec.touch()
    inner.results.symlink_to("/")
    assert not Roots.of(inner.root).hold("/etc")


def test_a_kernel_without_the_call_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(folder: int, relative: str) -> int:
        raise OSError(errno.ENOSYS, "no such call")

    monkeypatch.setattr(module, "_openat2", missing)
    assert not has_openat2.__wrapped__()
    monkeypatch.setattr(module.sys, "platform", "darwin")
    assert not has_openat2.__wrapped__()


def test_a_fault_of_the_system_is_not_taken_for_a_missing_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: int, relative: str) -> int:
        raise OSError(errno.EMFILE, "too many files")

    monkeypatch.setattr(module, "_openat2", broken)
    with pytest.raises(OSError, match="too many"):
        has_openat2.__wrapped__()
