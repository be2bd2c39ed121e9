"""The decision of the PreToolUse hook: silent where nothing is guarded, shut where something goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gate_corpus import LAUNCHES, ORDINARY

from deft.guard import approval, engagement, tool_calls
from deft.guard.events import MAX_BYTES, Answer
from deft.guard.gatekeeper import pre_tool_use

REPOSITORY = Path(__file__).resolve().parents[2]
SESSION = "s-1"


def answer(tool: str, given: dict[str, Any], session: str = SESSION) -> Answer:
    event = {"session_id": session, "cwd": "/", "tool_name": tool, "tool_input": given}
    return pre_tool_use(json.dumps(event).encode(), {}, str(REPOSITORY))


def passes(found: Answer) -> bool:
    return (found.code, found.output, found.error) == (0, "", "")


def is_denied(found: Answer) -> bool:
    return found.code == 0 and '"permissionDecision": "deny"' in found.output


# --- silence -----------------------------------------------------------------------------------------


def ordinary_commands() -> list[str]:
    around = ("{}", "cd repo && {}", "{} 2>&1 | tail -5")
    return [form.format(command) for command in ORDINARY for form in around]


def test_more_than_200_ordinary_commands_pass_without_a_word_when_nothing_is_engaged() -> None:
    commands = ordinary_commands()
    assert len(commands) >= 200
    assert [command for command in commands if not passes(answer("Bash", {"command": command}))] == []


def test_launches_too_pass_without_a_word_when_nothing_is_engaged() -> None:
    for command in [command for commands in LAUNCHES.values() for command in commands]:
        assert passes(answer("Bash", {"command": command})), command


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("Write", {"file_path": "/x/deft_state.json"}),
        ("Agent", {"prompt": "x"}),
        ("mcp__x__y", {}),
        ("Skill", {"skill": "commit"}),
        ("CronCreate", {}),
    ],
)
def test_other_tools_pass_without_a_word_when_nothing_is_engaged(tool: str, given: dict[str, Any]) -> None:
    assert passes(answer(tool, given))


def test_another_session_is_not_touched(waiting: dict[str, Any]) -> None:
    assert is_denied(answer("Bash", {"command": "docker run x"}))
    assert passes(answer("Bash", {"command": "docker run x"}, session="s-2"))


# --- engaging ----------------------------------------------------------------------------------------


def test_a_skill_of_this_plugin_engages_the_gate() -> None:
    assert passes(answer("Skill", {"skill": "deft-aoi:tao-run-deft-aoi"}))
    assert is_denied(answer("Bash", {"command": "docker run x"}))
    assert passes(answer("Bash", {"command": "ls"}))


def test_preflight_engages_the_gate_for_what_stands_beside_it() -> None:
    assert is_denied(answer("Bash", {"command": "deft preflight . ; docker run x"}))
    assert engagement.is_engaged(SESSION)


def test_preflight_alone_passes() -> None:
    assert passes(answer("Bash", {"command": "deft preflight ~/workspace"}))
    assert engagement.is_engaged(SESSION)


def test_a_skill_that_cannot_be_guarded_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, record: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(approval, "write_record", full)
    assert answer("Skill", {"skill": "deft-aoi:tao-run-deft-aoi"}).code == 2


# --- faults ------------------------------------------------------------------------------------------

BROKEN = {
    "bad JSON": b'{"session_id": "s-1", ',
    "no object": b"[]",
    "10 MB": b'{"session_id": "s-1", "tool_name": "' + b"x" * MAX_BYTES + b'"}',
    "invalid UTF-8": b'{"session_id": "s-1", "tool_name": "\xff"}',
    "no tool": b'{"session_id": "s-1", "tool_input": {}}',
    "no input": b'{"session_id": "s-1", "tool_name": "Bash"}',
    "no command": b'{"session_id": "s-1", "tool_name": "Bash", "tool_input": {}}',
    "no path": b'{"session_id": "s-1", "tool_name": "Write", "tool_input": {}}',
    "empty": b"",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("environment", [{}, {"CLAUDE_CODE_SESSION_ID": SESSION}], ids=["unknown", "known"])
def test_a_damaged_event_is_blocked_where_the_gate_is_engaged(
    waiting: dict[str, Any], raw: bytes, environment: dict[str, str]
) -> None:
    found = pre_tool_use(raw, environment, str(REPOSITORY))
    assert found.code == 2
    assert found.error.startswith("deft gate: ")


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_a_damaged_event_passes_where_no_gate_is_engaged(raw: bytes) -> None:
    assert passes(pre_tool_use(raw, {"CLAUDE_CODE_SESSION_ID": SESSION}, str(REPOSITORY)))


def test_a_damaged_event_of_another_session_passes(waiting: dict[str, Any]) -> None:
    assert passes(pre_tool_use(b"{", {"CLAUDE_CODE_SESSION_ID": "s-2"}, str(REPOSITORY)))


def test_a_state_folder_that_cannot_be_read_blocks_what_has_an_effect() -> None:
    home = Path(approval.state_home())
    home.parent.mkdir(parents=True, exist_ok=True)
    home.write_text("a file where the folder should be")
    assert is_denied(answer("Bash", {"command": "docker run x"}))
    assert is_denied(answer("Write", {"file_path": "/tmp/x"}))


def test_a_fault_of_the_gate_s_own_blocks(waiting: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(tool_calls.ToolCall, "judge", broken)
    found = answer("Bash", {"command": "ls"})
    assert found.code == 2
    assert "RuntimeError" in found.error
    assert passes(answer("Bash", {"command": "ls"}, session="s-2"))


def test_a_refusal_tells_the_model_what_to_do(waiting: dict[str, Any]) -> None:
    decision = json.loads(answer("Bash", {"command": "docker run x"}).output)["hookSpecificOutput"]
    assert "docker run x may have an effect" in decision["permissionDecisionReason"]
    assert waiting["run_id"] in decision["permissionDecisionReason"]
