"""One word a concept: the list is sorted, says where each lives, and names modules that exist."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ROW = re.compile(
    r"^\| (?P<word>[^|]+) \| (?P<meaning>[^|]+) \| `(?P<module>[^|`]+)` \| (?P<artefact>[^|]*)\|$"
)


def problems(text: str, package: Path) -> list[str]:
    """Return what is wrong with a list of concepts."""
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    rows = [ROW.match(line) for line in lines]
    found = [f"not a concept: {line}" for line, row in zip(lines, rows, strict=True) if row is None]
    kept = [row for row in rows if row is not None]
    found += [f"no such module: {row['module']}" for row in kept if not (package / row["module"]).is_file()]
    words = [row["word"].lower() for row in kept]
    return found + [f"out of order or twice: {word}" for last, word in pairwise(words) if word <= last]


def test_the_concepts_are_in_order_and_their_modules_exist() -> None:
    text = (REPOSITORY / "CONCEPTS.md").read_text(encoding="utf-8")
    assert problems(text, REPOSITORY / "src" / "deft") == []
    assert text.count("\n| ") > 30


def test_a_missing_module_a_double_and_a_broken_line_are_found(tmp_path: Path) -> None:
    (tmp_path / "here.py").touch()
    text = (
        "| word | meaning | module | on disk |\n"
        "| plan | x | `here.py` | |\n"
        "| gate | x | `gone.py` | `a.json` |\n"
        "| row | x | |\n"
    )
    assert problems(text, tmp_path) == [
        "not a concept: | row | x | |",
        "no such module: gone.py",
        "out of order or twice: gate",
    ]
