"""A credential is found by name, lent as a file that only its reader can open, and taken back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deft.errors import EnvironmentMissing
from deft.platforms.credentials import credential, lend, names_present, take_back

ME = f"{os.getuid()}:{os.getgid()}"


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for name in ("HF_TOKEN", "NGC_API_KEY", "NGC_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_environment_comes_before_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("NOT_HF_TOKEN=a\nexport HF_TOKEN='from file'\n")
    assert credential("HF_TOKEN", [tmp_path / "absent", tmp_path]) == "from file"
    monkeypatch.setenv("HF_TOKEN", "from environment")
    assert credential("HF_TOKEN", [tmp_path]) == "from environment"
    assert credential("NGC_KEY", [tmp_path]) is None


def test_an_empty_value_is_none(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HF_TOKEN=\nNGC_KEY=x\n")
    assert names_present(("HF_TOKEN", "NGC_KEY"), [tmp_path]) == ["NGC_KEY"]


def test_a_lent_file_is_for_its_reader_alone_and_goes_away(runtime: Path) -> None:
    path = lend("HF_TOKEN", "secret", "deft-x", ME)
    assert path.read_text() == "secret"
    assert [oct(place.stat().st_mode)[-3:] for place in (path, path.parent, path.parent.parent)] == [
        "400",
        "700",
        "700",
    ]
    assert lend("HF_TOKEN", "newer", "deft-x", ME).read_text() == "newer"
    take_back("deft-x")
    assert not path.parent.exists()
    take_back("deft-x")


def test_a_folder_that_others_can_enter_is_refused(runtime: Path) -> None:
    (runtime / f"deft-{os.getuid()}").mkdir(mode=0o755)
    with pytest.raises(EnvironmentMissing, match="not yours alone"):
        lend("HF_TOKEN", "secret", "deft-x", ME)


def test_a_link_in_the_place_of_the_folder_is_refused(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (runtime / f"deft-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EnvironmentMissing, match="not yours alone"):
        lend("HF_TOKEN", "secret", "deft-x", ME)
