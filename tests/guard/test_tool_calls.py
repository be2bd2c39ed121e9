"""Calls of tools while the gate is engaged: before approval, after it, in a session that joins a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deft.guard import approval
from deft.guard.events import BadEvent
from deft.guard.launches import Refused
from deft.guard.tool_calls import READING_TOOLS, ToolCall, calls_preflight

REPOSITORY = Path(__file__).resolve().parents[2]
SESSION = "s-1"


def refused(
    tool: str, given: dict[str, Any], session: str | None = SESSION, folder: str = "/nonexistent"
) -> bool:
    event = {"tool_name": tool, "tool_input": given, "cwd": folder}
    try:
        ToolCall(event, session, str(REPOSITORY)).judge()
    except Refused:
        return True
    return False


def bash(command: str, **options: Any) -> bool:
    return refused("Bash", {"command": command}, **options)


# --- before approval -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("Write", {"file_path": "/tmp/run.sh", "content": "docker run x"}),
        ("Edit", {"file_path": "/tmp/a", "old_string": "a", "new_string": "b"}),
        ("MultiEdit", {"file_path": "/tmp/a"}),
        ("NotebookEdit", {"notebook_path": "/tmp/a.ipynb"}),
        ("Agent", {"prompt": "run docker", "subagent_type": "general-purpose"}),
        ("Task", {"prompt": "run docker"}),
        ("Workflow", {}),
        ("mcp__shell__run", {"command": "ls"}),
        ("mcp__files__write", {"path": "/tmp/x"}),
        ("PowerShell", {"command": "ls"}),
        ("CronCreate", {"prompt": "go"}),
        ("ScheduleWakeup", {"prompt": "go"}),
        ("SomethingNew", {}),
        ("Monitor", {"command": "docker run x"}),
    ],
)
def test_before_approval_nothing_with_an_effect_passes(
    waiting: dict[str, Any], tool: str, given: dict[str, Any]
) -> None:
    assert refused(tool, given)


def test_of_shards_the_plan_alone_is_shown_before_approval(waiting: dict[str, Any]) -> None:
    assert not bash("deft shard plan mining a b --output-dir c", folder=waiting["workspace"])
    for command in ("deft shard run c", "deft shard reduce c", "deft shard", "deft shard --json plan mining"):
        assert bash(command, folder=waiting["workspace"]), command


@pytest.mark.parametrize(
    "command", ["deft run", "deft report", "deft approve", "deft tool a b -e c", "docker run x"]
)
def test_before_approval_no_launch_passes(waiting: dict[str, Any], command: str) -> None:
    assert bash(command, folder=waiting["workspace"])


@pytest.mark.parametrize(
    "command",
    [
        "deft status",
        "deft preflight .",
        "ls",
        "deft train spec.yaml",
        "deft tool a b --cfg=job",
        "deft analyze-gaps x",
    ],
)
def test_reading_and_verbs_that_only_plan_pass(waiting: dict[str, Any], command: str) -> None:
    assert not bash(command)


def test_another_skill_may_be_loaded(waiting: dict[str, Any]) -> None:
    assert not refused("Skill", {"skill": "tao-mine-aoi-images"})


# --- after approval --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["deft run . --until judgement", "deft spot-check 1=systematic", "deft report rca"]
)
def test_after_approval_deft_may_act(approved: dict[str, Any], command: str) -> None:
    assert not bash(command)


@pytest.mark.parametrize(
    "command",
    [
        *(
            "docker run x",
            "sbatch job.sh",
            "kubectl apply -f x",
            "python3 train.py",
            "torchrun train.py",
            "sh run.sh",
        ),
        *(
            "deft approve",
            "claude -p go",
            "rm -rf results",
            "cp a b",
            "echo x > y",
            "sed -i s/a/b/ x",
            "sudo ls",
        ),
    ],
)
def test_after_approval_a_raw_launch_is_still_refused(approved: dict[str, Any], command: str) -> None:
    assert bash(command)


def test_after_approval_records_are_not_written_by_hand(begun: Path) -> None:
    for name in ("deft_state.json", "loop_log.jsonl", "plan.json", "approval.json", "iter1/dataset/x.csv"):
        assert refused("Write", {"file_path": str(begun / name)})
        assert bash(f"touch '{begun / name}'")
    for path in (REPOSITORY / "hooks" / "stop.py", Path(approval.state_home()) / "key"):
        assert refused("Edit", {"file_path": str(path)})


def test_after_approval_prose_and_files_of_one_s_own_may_be_written(begun: Path, tmp_path: Path) -> None:
    report = begun / "baseline" / "rca_results" / "2026-01-02_030405" / "RCA_Report.md"
    assert not refused("Edit", {"file_path": str(report)})
    assert not refused("Write", {"file_path": str(begun / "iter1_summary.md")})
    assert not refused("Write", {"file_path": str(tmp_path / "notes.md")})
    assert not refused("Agent", {"subagent_type": "deft-aoi:reporter", "prompt": "x"})


def test_inputs_may_be_written_again_once_the_run_is_finished(begun: Path, approved: dict[str, Any]) -> None:
    table = {"file_path": str(Path(approved["workspace"]) / "kpi" / "testing_set.csv")}
    assert refused("Write", table)
    (begun / "deft_state.json").write_text('{"status": "complete", "stop_reason": "target_met"}')
    assert not refused("Write", table)


@pytest.mark.parametrize(
    "command", ["git add -A", "git commit -m 'Add notes'", "mkdir -p notes", "touch notes/a"]
)
def test_after_approval_what_has_nothing_to_do_with_the_run_passes(
    approved: dict[str, Any], command: str
) -> None:
    assert not bash(command)


@pytest.mark.parametrize(
    "command",
    ["git push", "git -c core.hooksPath=x commit -m y", "mkdir $X", "cd $X; touch a", 'git commit -m "$X"'],
)
def test_after_approval_only_few_and_plain_commands_do(approved: dict[str, Any], command: str) -> None:
    assert bash(command)


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        ({"query": "select 1"}, True),
        ({"command": "ls"}, True),
        ({"command": "docker run x"}, False),
        ({"args": ["ls", "docker run x"]}, False),
        ({"nested": [{"script": "python3 x.py"}]}, False),
        ({"commandLine": "docker run x"}, False),
        ({"program": "docker run x"}, False),
        ({"arguments": ["docker run x"]}, False),
        ({"input": "docker run x"}, False),
        ({"sourceCode": "docker run x"}, False),
        ({"path": "/tmp/notes.md"}, True),
        ({"path": "/ws/results/run_20260102_030405/deft_state.json"}, False),
    ],
)
def test_other_servers_tools_are_judged_by_what_they_are_given(
    approved: dict[str, Any], given: dict[str, Any], passes: bool
) -> None:
    assert refused("mcp__some__tool", given) is not passes


@pytest.mark.parametrize("tool", ["REPL", "PowerShell", "SomeToolOfTomorrow"])
def test_a_tool_that_is_new_here_is_judged_as_those_of_other_servers(
    approved: dict[str, Any], tool: str
) -> None:
    assert refused(tool, {"code": "docker run x"})
    assert refused(tool, {"path": "/ws/results/run_20260102_030405/deft_state.json"})
    assert not refused(tool, {"code": "ls"})


def test_the_tools_that_only_read_are_those_that_the_hook_is_not_asked_about(waiting: dict[str, Any]) -> None:
    entries = json.loads((REPOSITORY / "hooks" / "hooks.json").read_text())["hooks"]["PreToolUse"]
    (left_out,) = {entry["matcher"] for entry in entries if entry["matcher"].startswith("^(?!(")}
    names = left_out.removeprefix("^(?!(").removesuffix(")$)").split("|")
    assert sorted(names) == sorted(READING_TOOLS.pattern.split("|"))
    assert not any(refused(name, {"command": "docker run x"}) for name in names)


@pytest.mark.parametrize("tool", ["CronCreate", "ScheduleWakeup"])
def test_nothing_may_speak_in_the_user_s_place_later(approved: dict[str, Any], tool: str) -> None:
    assert refused(tool, {"prompt": "go"})


def test_a_new_plan_in_the_session_shuts_the_gate_again(approved: dict[str, Any]) -> None:
    approval.save_pending({**approved, "settings": {"epochs": 9}}, SESSION)
    assert bash("deft run")
    assert refused("Write", {"file_path": "/tmp/x"})


# --- another session ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["deft run '{}' --until judgement", "cd '{}' && deft run", "deft report rca '{}'"]
)
def test_a_new_session_goes_on_with_an_approved_run(begun: Path, command: str) -> None:
    assert refused("Edit", {"file_path": str(begun / "iter1_summary.md")}, session="s-2")
    assert not bash(command.format(begun), session="s-2")
    assert not refused("Edit", {"file_path": str(begun / "iter1_summary.md")}, session="s-2")


def test_a_new_session_goes_on_from_the_workspace_it_stands_in(begun: Path, approved: dict[str, Any]) -> None:
    assert not bash("deft run --until judgement", session="s-2", folder=approved["workspace"])


def test_a_new_session_goes_on_in_a_workspace_that_it_names_without_a_path(
    begun: Path, approved: dict[str, Any]
) -> None:
    workspace = Path(approved["workspace"])
    command = f"deft run '{workspace.name}' --until judgement --wait 1"
    assert not bash(command, session="s-2", folder=str(workspace.parent))
    assert bash("deft run . --until judgement", session="s-3", folder=str(workspace.parent))


def test_a_plan_that_waits_keeps_its_place_when_an_older_run_goes_on(
    begun: Path, approved: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = {**approved, "workspace": str(tmp_path / "other"), "run_id": "run_20260102_030499"}
    approval.save_pending(other, "s-2")
    assert not bash(f"deft run '{begun}'", session="s-2")
    assert approval.hear("go", "s-2") is not None
    assert approval.decision_on(other) is not None


def test_a_session_without_an_id_joins_nothing(begun: Path) -> None:
    assert bash(f"deft run '{begun}'", session=None)


# --- damaged calls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"tool_name": "Bash"},
        {"tool_name": "Bash", "tool_input": []},
        {"tool_name": "Bash", "tool_input": {}},
        {"tool_name": "Bash", "tool_input": {"command": 3}},
        {"tool_name": "Write", "tool_input": {}},
        {"tool_name": "Write", "tool_input": {"file_path": ["x"]}},
    ],
)
def test_a_call_that_lacks_a_field_is_not_understood(waiting: dict[str, Any], event: dict[str, Any]) -> None:
    with pytest.raises(BadEvent):
        ToolCall(event, SESSION, str(REPOSITORY)).judge()


@pytest.mark.parametrize(
    ("command", "calls"),
    [
        ("deft preflight ~/ws", True),
        ("ls && deft preflight .", True),
        ("timeout 60 deft preflight .", True),
        ("grep -rn preflight src/deft", False),
        ("echo deft preflight", False),
        ("deft status # preflight", False),
        ("deft 'preflight", False),
    ],
)
def test_preflight_is_known_as_a_command_only(command: str, calls: bool) -> None:
    assert calls_preflight(command, "/", str(REPOSITORY)) is calls


# --- deft doctor, which can start a client ----------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["deft doctor", "deft doctor --hooks", "deft doctor --workspace /a --probe"]
)
def test_a_look_at_the_machine_passes(waiting: dict[str, Any], command: str) -> None:
    assert not bash(command)


@pytest.mark.parametrize("words", ["--client /tmp/x", "--client=/tmp/x", "$(echo --client) /tmp/x", "$WORDS"])
@pytest.mark.parametrize("plan", ["waiting", "approved"])
def test_the_client_that_doctor_starts_is_never_named_by_an_agent(
    request: pytest.FixtureRequest, plan: str, words: str
) -> None:
    request.getfixturevalue(plan)
    assert bash(f"deft doctor --hooks {words}")
