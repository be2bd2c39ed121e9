"""Every row of the teardown has a test of its name, which does what the original was given."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROWS = [f"b{number}" for number in range(1, 29)] + [f"h{number}" for number in range(1, 12)]


def named_rows() -> Counter[str]:
    """Return how many tests name each row: `test_b7_...`, `test_h2_h3_h5_...`."""
    found: Counter[str] = Counter()
    for path in TESTS.rglob("test_teardown_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and (rows := re.match(r"test_((?:[bh]\d+_)+)", node.name)):
                found.update(rows[1].strip("_").split("_"))
    return found


def test_all_39_rows_have_a_test_of_their_name(figure: Callable[[str, str, str], None]) -> None:
    named = named_rows()
    have = len(set(ROWS) & set(named))
    figure("rows B1-B28 and H1-H11 of the teardown, by name", "39 of 39", f"{have} of {len(ROWS)}")
    assert [row for row in ROWS if row not in named] == []
    assert [row for row in named if row not in ROWS] == []
