"""A test that silently skips is a failure, unless its skip is allowed with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from allowed_skips import ALLOWED_SKIPS, allowed_patterns, unexpected_skips

REPORT = """<testsuites><testsuite>
<testcase classname="tests.a" name="runs"/>
<testcase classname="tests.a" name="skips[1]"><skipped type="pytest.skip" message="no GPU"/></testcase>
<testcase classname="tests.a" name="expected"><skipped type="pytest.xfail" message="known"/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "test.xml"
    path.write_text(REPORT, encoding="utf-8")
    return path


def test_the_list_is_readable() -> None:
    allowed_patterns(ALLOWED_SKIPS.read_text(encoding="utf-8"))


def test_a_skip_that_nobody_allowed_is_found(report: Path) -> None:
    assert unexpected_skips([report], {}) == ["tests.a::skips[1]: no GPU"]


def test_an_allowed_skip_passes(report: Path) -> None:
    assert unexpected_skips([report], {"tests.a::skips*": "needs a GPU"}) == []


def test_a_pattern_without_a_reason_is_refused() -> None:
    with pytest.raises(SystemExit, match="no reason given"):
        allowed_patterns("tests.a::skips*\n")
