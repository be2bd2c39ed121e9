"""The PreToolUse hook, started as the client starts it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDED = (
    "PreToolUse-Bash",
    "PreToolUse-Bash-in-subagent",
    "PreToolUse-Write",
    "PreToolUse-Agent",
    "PreToolUse-Skill",
)
Hook = Callable[..., Any]
Payload = Callable[..., dict[str, Any]]


def silent(done: Any) -> bool:
    return (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_call_passes_without_a_word_when_nothing_is_engaged(
    hook: Hook, payload: Payload, name: str
) -> None:
    assert silent(hook("pre_tool_use", payload(name)))


@pytest.mark.parametrize("name", [name for name in RECORDED if not name.endswith("Skill")])
def test_a_recorded_call_with_an_effect_is_denied_before_approval(
    hook: Hook, payload: Payload, waiting: dict[str, Any], name: str
) -> None:
    changes = {"tool_input": {"command": "docker run x"}} if "Bash" in name else {}
    done = hook("pre_tool_use", payload(name, **changes))
    decision = json.loads(done.stdout)["hookSpecificOutput"]
    assert (done.returncode, decision["permissionDecision"]) == (0, "deny")
    assert waiting["run_id"] in decision["permissionDecisionReason"]


def test_a_subagent_s_reading_passes(hook: Hook, payload: Payload, waiting: dict[str, Any]) -> None:
    assert silent(hook("pre_tool_use", payload("PreToolUse-Bash-in-subagent")))


def test_a_skill_of_ours_engages_the_gate_for_the_next_call(hook: Hook, payload: Payload) -> None:
    assert silent(
        hook("pre_tool_use", payload("PreToolUse-Skill", tool_input={"skill": "deft-aoi:tao-run-deft-aoi"}))
    )
    assert b'"deny"' in hook("pre_tool_use", payload("PreToolUse-Write")).stdout


FAULTS = {
    "bad JSON": b"{",
    "10 MB": b" " * 10_000_000,
    "invalid UTF-8": b'{"a": "\xff\xfe"}',
    "no fields": b"{}",
}


@pytest.mark.parametrize("raw", FAULTS.values(), ids=FAULTS)
def test_a_fault_blocks_where_the_gate_is_engaged(hook: Hook, waiting: dict[str, Any], raw: bytes) -> None:
    done = hook("pre_tool_use", raw)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"deft gate: ")


@pytest.mark.parametrize("raw", FAULTS.values(), ids=FAULTS)
def test_a_fault_passes_where_it_is_not(hook: Hook, raw: bytes) -> None:
    assert silent(hook("pre_tool_use", raw))


def test_a_state_folder_that_cannot_be_read_blocks(hook: Hook, payload: Payload, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "deft").write_text("no folder")
    done = hook("pre_tool_use", payload("PreToolUse-Write"), XDG_STATE_HOME=str(tmp_path / "state"))
    assert b'"deny"' in done.stdout
    assert hook("pre_tool_use", b"{", XDG_STATE_HOME=str(tmp_path / "state")).returncode == 2


@pytest.mark.parametrize("engaged", [True, False])
def test_a_plugin_that_is_damaged_blocks_only_where_some_session_is_guarded(
    payload: Payload, tmp_path: Path, engaged: bool
) -> None:
    (tmp_path / "plugin" / "hooks").mkdir(parents=True)
    shutil.copy(REPOSITORY / "hooks" / "pre_tool_use.py", tmp_path / "plugin" / "hooks")
    if engaged:
        (tmp_path / "deft" / "engaged").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "plugin" / "hooks" / "pre_tool_use.py")],
        input=json.dumps(payload("PreToolUse-Bash")).encode(),
        capture_output=True,
        env={"XDG_STATE_HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == (2 if engaged else 0)
    assert (b"it cannot start" in done.stderr) is engaged
