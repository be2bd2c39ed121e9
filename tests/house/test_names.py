"""One guess finds it: a module has a test of its stem, and no file is named after nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
EMPTY_NAMES = re.compile(
    r"(^|_)(utils?|helpers?|common|misc|managers?|v[2-9]|new|final|inline)(_|$)", re.IGNORECASE
)

# Modules that are tested under another stem, with the test that holds them. This list may only shrink.
TESTED_ELSEWHERE = {
    "src/deft/__main__.py": "tests/scripts/test_bin_deft.py",
    "src/deft/cli/tool.py": "tests/cli/test_main.py",
}


def modules(repository: Path) -> list[Path]:
    found = (repository / "src" / "deft").rglob("*.py")
    return sorted(path.relative_to(repository) for path in found if path.name != "__init__.py")


def without_test(repository: Path) -> list[str]:
    """Return the modules for which no `test_<stem>.py` or `test_<room>_<stem>.py` exists."""
    tests = {path.stem for path in (repository / "tests").rglob("test_*.py")}
    return [path.as_posix() for path in modules(repository) if not names_of_test(path) & tests]


def names_of_test(module: Path) -> set[str]:
    return {f"test_{module.stem}", f"test_{module.parent.name}_{module.stem}"}


def named_after_nothing(repository: Path) -> list[str]:
    """Return files of code whose name says nothing about what is in them."""
    places = ("src", "tests", "scripts", "hooks", "benchmarks", "references", "skills", "agents")
    paths = [path for place in places for path in (repository / place).rglob("*")]
    code = [path for path in paths if path.suffix in (".py", ".md", ".sh") or path.is_dir()]
    return [
        path.relative_to(repository).as_posix()
        for path in sorted(code)
        if "__pycache__" not in path.parts and EMPTY_NAMES.search(path.stem)
    ]


def test_every_module_has_a_test_of_its_name() -> None:
    assert sorted(set(without_test(REPOSITORY)) - set(TESTED_ELSEWHERE)) == []


def test_the_exceptions_are_still_needed_and_their_tests_exist() -> None:
    assert set(TESTED_ELSEWHERE) <= set(without_test(REPOSITORY)), "take what has its own test off the list"
    for test in TESTED_ELSEWHERE.values():
        assert (REPOSITORY / test).is_file(), test


def test_no_file_is_named_after_nothing() -> None:
    assert named_after_nothing(REPOSITORY) == []


def test_a_module_without_a_test_is_found(tmp_path: Path) -> None:
    (tmp_path / "src/deft/stages").mkdir(parents=True)
    (tmp_path / "src/deft/stages/rca.py").touch()
    assert without_test(tmp_path) == ["src/deft/stages/rca.py"]
    (tmp_path / "tests/stages").mkdir(parents=True)
    (tmp_path / "tests/stages/test_rca.py").touch()
    assert without_test(tmp_path) == []


@pytest.mark.parametrize("name", ["utils", "path_helper", "common", "StageManager_manager", "routing_v2"])
def test_an_empty_name_is_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / f"{name}.py").touch()
    assert len(named_after_nothing(tmp_path)) == 1


def test_a_word_that_only_contains_an_empty_name_is_none(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "renewal.py").touch()
    assert named_after_nothing(tmp_path) == []
