"""The user's word is heard, reports are looked at, and work left is not forgotten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report_fixtures import write_report

from deft.guard import approval, engagement
from deft.guard.conversation import post_tool_use, stop, user_prompt_submit
from deft.guard.events import Answer

REPOSITORY = Path(__file__).resolve().parents[2]
SESSION = "s-1"


def say(prompt: str, session: str = SESSION) -> str:
    event = {"session_id": session, "prompt": prompt}
    return user_prompt_submit(json.dumps(event).encode(), {}, str(REPOSITORY)).output


def wrote(path: Path, tool: str = "Edit", **event: Any) -> Answer:
    base = {"session_id": SESSION, "cwd": "/", "hook_event_name": "PostToolUse", "tool_name": tool}
    given = {**base, "tool_input": {"file_path": str(path)}, **event}
    return post_tool_use(json.dumps(given).encode(), {}, str(REPOSITORY))


def ended(**event: Any) -> str:
    given = {"session_id": SESSION, "cwd": "/", "stop_hook_active": False, **event}
    return stop(json.dumps(given).encode(), {}, str(REPOSITORY)).output


# --- UserPromptSubmit ----------------------------------------------------------------------------------


def test_a_go_approves_the_plan_that_waits_and_says_what_comes_next(waiting: dict[str, Any]) -> None:
    text = say("go")
    assert "approved the plan of run_20260102_030405" in text
    assert f"deft run '{waiting['workspace']}' --until judgement" in text
    assert engagement.approved_plan(SESSION) == waiting


def test_a_step_s_own_command_comes_next(waiting: dict[str, Any]) -> None:
    approval.save_pending(
        {**waiting, "kind": "mine", "run_id": "mine-1", "command": "deft mine a b"}, SESSION
    )
    assert "Next: deft mine a b" in say("looks good")


def test_a_no_refuses_it(waiting: dict[str, Any]) -> None:
    assert "refused the plan" in say("no")
    assert engagement.approved_plan(SESSION) is None


@pytest.mark.parametrize("prompt", ["don't go yet", "yes, but 5 epochs", "what is FAR?", "go?", ""])
def test_any_other_message_decides_nothing(waiting: dict[str, Any], prompt: str) -> None:
    assert say(prompt) == ""
    assert approval.decision_on(waiting) is None


def test_a_go_without_a_plan_or_in_another_session_is_only_a_word(waiting: dict[str, Any]) -> None:
    assert say("go", session="s-2") == ""
    assert approval.decision_on(waiting) is None


def test_an_old_word_does_not_approve_a_changed_plan(waiting: dict[str, Any]) -> None:
    say("go")
    approval.save_pending({**waiting, "settings": {"epochs": 9}}, SESSION)
    assert engagement.approved_plan(SESSION) is None


def test_a_typed_skill_engages_the_gate() -> None:
    assert say("/deft-aoi:tao-run-deft-aoi on ~/ws") == ""
    assert engagement.is_engaged(SESSION)
    say("/help", session="s-2")
    assert not engagement.is_engaged("s-2")


def test_a_word_that_cannot_be_recorded_is_not_an_approval(
    waiting: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, record: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(approval, "write_record", full)
    assert "nothing is approved" in say("go")


def test_a_typed_skill_that_cannot_be_guarded_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, record: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(approval, "write_record", full)
    event = json.dumps({"session_id": SESSION, "prompt": "/tao-run-deft-aoi"}).encode()
    assert user_prompt_submit(event, {}, str(REPOSITORY)).code == 2


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'{"prompt": 3, "session_id": "s-1"}', b'{"prompt": "go"}', b"\xff"]
)
def test_a_damaged_prompt_approves_nothing(waiting: dict[str, Any], raw: bytes) -> None:
    assert user_prompt_submit(raw, {}, str(REPOSITORY)).output == ""
    assert approval.decision_on(waiting) is None


# --- PostToolUse ---------------------------------------------------------------------------------------


@pytest.fixture
def report(begun: Path) -> Path:
    return write_report(begun / "baseline" / "rca_results" / "2026-01-02_030405")


def test_a_finished_report_is_packaged_without_a_word(report: Path, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("{}\n")
    assert wrote(report, transcript_path=str(tmp_path / "t.jsonl")).output == ""
    assert (report.parent / "rca_config" / "plan.json").is_file()
    assert (report.parent / "claude_session.jsonl").read_text() == "{}\n"


def test_a_report_with_a_problem_is_named_and_not_packaged(report: Path) -> None:
    write_report(report.parent, verdict="FAR is 9.9 %.")
    assert "verdict says 9.9" in json.loads(wrote(report).output)["reason"]
    assert not (report.parent / "rca_config").exists()


def test_another_file_or_another_session_is_not_looked_at(report: Path, tmp_path: Path) -> None:
    assert wrote(tmp_path / "notes.md").output == ""
    assert wrote(report, session_id="s-2").output == ""
    assert not (report.parent / "rca_config").exists()


def test_a_path_relative_to_the_session_s_folder_is_found(report: Path) -> None:
    assert wrote(Path(report.name), cwd=str(report.parent)).output == ""
    assert (report.parent / "rca_config").is_dir()


def test_a_failed_command_brings_advice(begun: Path) -> None:
    response = {"stdout": "Execution status: FAIL", "stderr": ""}
    found = wrote(begun, tool="Bash", tool_input={"command": "deft run"}, tool_response=response)
    assert "whatever its exit code was" in found.output


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"session_id": "s-1", "tool_name": "Write"}'])
def test_a_damaged_event_after_the_fact_is_ignored(begun: Path, raw: bytes) -> None:
    found = post_tool_use(raw, {}, str(REPOSITORY))
    assert (found.code, found.output) == (0, "")


# --- Stop ------------------------------------------------------------------------------------------------


def test_a_run_with_work_left_is_named_once_for_each_state(begun: Path) -> None:
    assert f"deft run '{begun}' --until judgement" in json.loads(ended())["reason"]
    assert ended() == ""
    (begun / "deft_state.json").write_text(json.dumps({"status": "in_progress", "log": {"seq": 4}}))
    assert "has work left" in ended()


def test_a_stop_that_a_hook_already_held_up_is_never_held_up_again(begun: Path) -> None:
    assert ended(stop_hook_active=True) == ""
    assert ended(stop_hook_active=None) == ""


@pytest.mark.parametrize("state", [{"status": "complete"}, {"status": "failed", "stop_reason": "hard_stop"}])
def test_a_run_that_is_over_is_not_named(begun: Path, state: dict[str, Any]) -> None:
    (begun / "deft_state.json").write_text(json.dumps(state))
    assert ended() == ""


def test_a_session_that_only_waits_may_stop(waiting: dict[str, Any]) -> None:
    assert ended() == ""


def test_a_session_without_a_gate_may_stop(begun: Path) -> None:
    assert ended(session_id="s-2") == ""


def test_reports_are_looked_at_and_packaged_again_at_the_end(report: Path, tmp_path: Path) -> None:
    session = tmp_path / "t.jsonl"
    session.write_text("{}\n")
    wrote(report, transcript_path=str(session))
    session.write_text("{}\n{}\n")
    ended(transcript_path=str(session), stop_hook_active=True)
    assert (report.parent / "claude_session.jsonl").read_text() == "{}\n{}\n"
    (report.parent / "threshold.txt").unlink()
    assert "artifact missing or empty: threshold.txt" in ended()


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[]"])
def test_a_damaged_stop_lets_the_session_end(begun: Path, raw: bytes) -> None:
    assert stop(raw, {}, str(REPOSITORY)).output == ""
