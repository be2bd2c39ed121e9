"""Nothing grows past what a reader can hold: functions, modules, scripts, hooks, skills, references."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FUNCTION_LINES = 60
MODULE_LINES, MODULE_HABIT = 400, 300
LINES = {
    "src/**/*.py": MODULE_LINES,
    "scripts/*.py": 15,
    "hooks/*.py": 25,
    "skills/*/SKILL.md": 150,
    "references/*.md": 200,
    "skills/*/references/*.md": 200,
    "bin/*": 60,
    "README.md": 150,
}
WORDS = {"skills/*/SKILL.md": 1000}


def violations(repository: Path) -> list[str]:
    """Return one line a file or function that is over its budget."""
    found = []
    for pattern, limit in LINES.items():
        for path in files_of(repository, pattern):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > limit:
                found.append(f"{path.relative_to(repository)}: {lines} lines, at most {limit}")
    for pattern, limit in WORDS.items():
        for path in files_of(repository, pattern):
            words = len(path.read_text(encoding="utf-8").split())
            if words > limit:
                found.append(f"{path.relative_to(repository)}: {words} words, at most {limit}")
    return found + list(long_functions(repository))


def files_of(repository: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(repository.glob(pattern)) if path.is_file()]


def long_functions(repository: Path) -> Iterator[str]:
    for path in files_of(repository, "src/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    yield f"{path.relative_to(repository)}:{node.lineno} {node.name}: {lines} lines"


def test_nothing_is_over_its_budget() -> None:
    assert violations(REPOSITORY) == []


@pytest.mark.filterwarnings("default:.*past the habit")
def test_modules_past_the_habit_are_named() -> None:
    for path in files_of(REPOSITORY, "src/**/*.py"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MODULE_HABIT:
            warnings.warn(f"{path.name}: {lines} lines, past the habit of {MODULE_HABIT}", stacklevel=1)


def test_the_budgets_find_files() -> None:
    for pattern in ("src/**/*.py", "scripts/*.py", "hooks/*.py", "skills/*/SKILL.md", "references/*.md"):
        assert files_of(REPOSITORY, pattern), pattern


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("src/deft/long.py", "x = 1\n" * (MODULE_LINES + 1)),
        ("src/deft/function.py", "def f():\n" + "    x = 1\n" * FUNCTION_LINES),
        ("scripts/verb.py", "x = 1\n" * 16),
        ("hooks/stop.py", "x = 1\n" * 26),
        ("skills/one/SKILL.md", "word\n" * 151),
        ("skills/one/SKILL.md", "word " * 1001),
        ("references/rows.md", "word\n" * 201),
    ],
)
def test_a_budget_that_is_broken_is_found(tmp_path: Path, place: str, text: str) -> None:
    planted = tmp_path / place
    planted.parent.mkdir(parents=True)
    planted.write_text(text, encoding="utf-8")
    assert len(violations(tmp_path)) == 1
