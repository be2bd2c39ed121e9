"""Fail on a skip that tests/allowed-skips.txt does not name: `python tests/house/allowed_skips.py REPORT`."""

from __future__ import annotations

import fnmatch
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path

ALLOWED_SKIPS = Path(__file__).resolve().parents[1] / "allowed-skips.txt"


def allowed_patterns(text: str) -> dict[str, str]:
    """Return pattern -> reason; a line without a reason is refused."""
    patterns = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            pattern, _, reason = line.partition("\t")
            if not reason.strip():
                raise SystemExit(f"allowed-skips.txt: no reason given: {line}")
            patterns[pattern] = reason.strip()
    return patterns


def skipped_tests(report: Path) -> Iterator[tuple[str, str]]:
    """Yield test id and message of every skip in a JUnit report (an expected failure is no skip)."""
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        skip = case.find("skipped")
        if skip is not None and skip.get("type") != "pytest.xfail":
            yield f"{case.get('classname')}::{case.get('name')}", skip.get("message") or ""


def unexpected_skips(reports: Sequence[Path], patterns: dict[str, str]) -> list[str]:
    """Return one line a skip that no pattern covers."""
    return [
        f"{name}: {message}"
        for report in reports
        for name, message in skipped_tests(report)
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    ]


def main(arguments: Sequence[str]) -> int:
    """Print the skips that nobody allowed; 1 if there is one or if a report is missing."""
    patterns = allowed_patterns(ALLOWED_SKIPS.read_text(encoding="utf-8"))
    unexpected = unexpected_skips([Path(argument) for argument in arguments], patterns)
    for line in unexpected:
        sys.stdout.write(f"skipped, and not in tests/allowed-skips.txt: {line}\n")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
