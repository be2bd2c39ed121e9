"""Each hook started alone: what answers, what is late, what fails, and what lets a launch pass."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from deft.platforms.base import Check
from deft.preflight import hook_files
from deft.preflight.hook_files import PAYLOADS, clean_environment, file_checks, hooks_of

REPOSITORY = Path(__file__).resolve().parents[2]


def plugin(root: Path, script: str, event: str = "Stop", seconds: float = 20) -> Path:
    """Make a plugin of one hook, a shell script."""
    (root / "hooks").mkdir()
    (root / "hooks" / "one.sh").write_text(script, encoding="utf-8")
    hook = {"command": "sh", "args": ["${CLAUDE_PLUGIN_ROOT}/hooks/one.sh"], "timeout": seconds}
    record = {"hooks": {event: [{"hooks": [hook]}]}}
    (root / "hooks" / "hooks.json").write_text(json.dumps(record), encoding="utf-8")
    return root


def only(root: Path) -> Check:
    """Return the check of the plugin's one hook."""
    _, found = file_checks(root)
    return found


def test_every_hook_of_this_plugin_answers_and_its_gate_refuses_a_launch() -> None:
    checks = list(file_checks())
    assert [check for check in checks if not check.passed] == []
    assert [check.name for check in checks] == ["python3", *(f"{event} alone" for event in PAYLOADS)]


def test_there_is_an_event_for_each_event_of_the_hooks_file() -> None:
    assert {hook.event for hook in hooks_of(REPOSITORY)} == set(PAYLOADS)


def test_an_event_has_the_fields_of_a_recorded_one(shared: Path) -> None:
    for event, fields in PAYLOADS.items():
        found = (shared / "fixtures" / "hook-payloads").glob(f"{event}*.json")
        recorded = [json.loads(path.read_text(encoding="utf-8"))["stdin"] for path in found]
        assert any(set(fields) <= set(one) for one in recorded), event


def test_a_hook_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    found = only(plugin(tmp_path, "echo one >&2; echo 'no module' >&2; exit 1"))
    assert (found.passed, found.detail) == (False, "exit code 1: no module")
    assert "one.sh < /dev/null" in found.cure


def test_a_hook_that_does_not_answer_in_its_time_is_late(tmp_path: Path) -> None:
    found = only(plugin(tmp_path, "exec sleep 60", seconds=0.2))
    assert (found.passed, found.detail) == (False, "no answer within 0 s")


def test_a_gate_that_lets_a_launch_pass_is_found(tmp_path: Path) -> None:
    found = only(plugin(tmp_path, "exit 0", event="PreToolUse"))
    assert not found.passed
    assert "let a launch pass" in found.detail


def test_a_hook_sees_nothing_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    script = f'test -z "$ANTHROPIC_API_KEY$XDG_STATE_HOME" && test "$HOME" != "{os.environ["HOME"]}"'
    assert only(plugin(tmp_path, script)).passed
    assert set(clean_environment(tmp_path)) <= {"PATH", "LD_LIBRARY_PATH", "TMPDIR", "HOME", "TERM", "LANG"}


@pytest.mark.parametrize("text", [None, "{", "[]", '{"hooks": {"Stop": [{"hooks": [{"command": "sh"}]}]}}'])
def test_a_hooks_file_that_cannot_be_read_is_told(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "hooks").mkdir()
        (tmp_path / "hooks" / "hooks.json").write_text(text, encoding="utf-8")
    found = only(tmp_path)
    assert (found.name, found.passed) == ("hooks file", False)
    assert "install the plugin again" in found.cure


def python_named(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Check:
    """Put a `python3` of our own before all others and return what is said of it."""
    (folder / "python3").write_text("#!/bin/sh\n" + script, encoding="utf-8")
    (folder / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return next(file_checks(folder))


@pytest.mark.parametrize(
    ("script", "passed", "detail"),
    [
        ("echo 3.8.0", True, "3.8.0"),
        ("echo 3.7.17", False, "3.7.17"),
        ("echo nonsense", False, "not found, or it does not start"),
    ],
)
def test_python3_must_be_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, passed: bool, detail: str
) -> None:
    found = python_named(tmp_path, monkeypatch, script)
    assert (found.passed, found.detail) == (passed, detail)


def test_without_python3_the_cure_says_what_that_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = list(file_checks())
    assert not any(check.passed for check in found)
    assert "calls pass" in found[0].cure
    assert found[1].cure == hook_files.FINDS_PYTHON
