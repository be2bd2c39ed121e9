"""One place for every pinned image."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

import deft
from deft.errors import EnvironmentMissing, UsageError
from deft.versions import VERSIONS_FILE, code_version, component_versions, resolve_versions_key

TEXT = """
images:
  one: {repository: registry/one, tag: 1.0, digest: null}
  two: {repository: registry/two, tag: 1.0, digest: "sha256:ab"}
wheels: {torch: torch==2.13.0, empty: null}
"""


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    path = tmp_path / "versions.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("images.one", "registry/one:1.0"),
        ("images.two", "registry/two@sha256:ab"),
        ("images.one.tag", "1.0"),
        ("wheels.torch", "torch==2.13.0"),
    ],
)
def test_a_dotted_key_gives_its_text(versions: Path, key: str, text: str) -> None:
    assert resolve_versions_key(key, versions) == text


@pytest.mark.parametrize("key", ["images", "images.three", "wheels.empty", ""])
def test_an_unknown_an_empty_or_a_branching_key_is_refused_with_the_known_ones(
    versions: Path, key: str
) -> None:
    with pytest.raises(UsageError, match=r"known keys: images\.one, ") as refusal:
        resolve_versions_key(key, versions)
    assert "wheels.empty" not in refusal.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentMissing, match=r"versions\.yaml"):
        resolve_versions_key("images.one", tmp_path / "versions.yaml")


def test_both_images_of_the_loop_are_pinned() -> None:
    for name in ("pyt", "data_services"):
        assert ":" in resolve_versions_key(f"images.tao_toolkit.{name}", VERSIONS_FILE)


def test_the_versions_of_a_record_name_what_decides_its_bytes() -> None:
    found = component_versions()
    assert set(found) == {
        "python",
        "deft",
        "numpy",
        "pandas",
        "pyarrow",
        "torch",
        "transformers",
        "processor",
    }
    assert found["deft"] == code_version() == deft.__version__
    assert all(found.values())


def test_a_library_that_is_absent_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    assert component_versions()["torch"] == "not installed"
