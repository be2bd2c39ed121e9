"""`deft doctor`: each failure with its cure, and an exit code that a script can read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deft.cli.main import main
from deft.platforms.base import Check
from deft.platforms.embedded import EmbeddedPlatform

GOOD = Check("package torch", True, "found", "install it")
BAD = Check("disk", False, "1 GB free", "free at least 2 GB")


def checks(monkeypatch: pytest.MonkeyPatch, *found: Check) -> None:
    monkeypatch.setattr(EmbeddedPlatform, "checks", lambda self, workspace: list(found))


def test_a_machine_that_has_everything_is_ok(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks(monkeypatch, GOOD)
    assert main(["doctor"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "ok"


def test_what_is_missing_is_told_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks(monkeypatch, GOOD, BAD)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["doctor"]) == 5
    text = capsys.readouterr().out
    assert "MISSING disk: 1 GB free\n          free at least 2 GB" in text
    assert "install it" not in text


def test_the_machine_that_runs_the_tests_can_run_the_embedded_platform(tmp_path: Path) -> None:
    assert main(["doctor", "--workspace", str(tmp_path)]) == 0


def test_an_unknown_platform_is_a_usage_error() -> None:
    assert main(["doctor", "--platform", "moon"]) == 2
