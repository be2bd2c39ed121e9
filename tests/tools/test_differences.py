"""What differs from the container on purpose is written down once, and each entry is held by a test."""

from __future__ import annotations

import pytest
import yaml

from conformance import DIFFERENCES, REPOSITORY, difference

RECORDS = yaml.safe_load(DIFFERENCES.read_text(encoding="utf-8"))
TESTS = {
    path: path.read_text(encoding="utf-8")
    for path in sorted((REPOSITORY / "tests").rglob("*.py"))
    if path.name != "test_differences.py"
}


def test_every_entry_says_what_differs_where_and_why() -> None:
    for record in RECORDS:
        assert list(record) == ["id", "tool", "what", "why"]
        assert all(isinstance(text, str) and text for text in record.values())


def test_no_difference_is_listed_twice() -> None:
    names = [record["id"] for record in RECORDS]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("name", [record["id"] for record in RECORDS])
def test_a_listed_difference_is_named_by_a_test(name: str) -> None:
    assert any(name in text for text in TESTS.values())


def test_a_difference_that_is_not_listed_cannot_be_claimed() -> None:
    with pytest.raises(KeyError):
        difference("whatever-was-easier")
