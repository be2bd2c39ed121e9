"""The whole story in the real client: one summary, one word, a finished run and its reports."""

from __future__ import annotations

import json
import stat
from itertools import pairwise
from pathlib import Path

import pytest

from client.engineer_story import INVENTED, SECRETS, SKILL, Story, reporter_phrase, spellings, told_stage
from deft import files
from deft.guard.reports import problems_of
from deft.run.audit import audit_run
from deft.run.log import read

pytestmark = pytest.mark.whole

REFUSED_BEFORE = (
    *("run before any plan", "run before approval", "docker before approval"),
    *("approving itself", "writing an approval"),
)
REFUSED_AFTER = ("docker after approval", "writing a figure")


def reports(story: Story) -> list[Path]:
    return sorted([*story.run.root.rglob("RCA_Report.md"), *story.run.root.rglob("Mining_Report.md")])


# --- what the client makes of the plugin ---------------------------------------------------------------


def test_no_script_failed_and_nothing_but_the_model_was_called(story: Story) -> None:
    assert story.model.faults == []
    assert story.model.other_paths == set()


def test_the_plugin_loads_without_an_error_and_offers_its_skills_and_its_reporter(story: Story) -> None:
    for conversation in story.conversations.values():
        assert not conversation.start.get("plugin_errors")
        assert SKILL in conversation.start["skills"]
        assert "deft-aoi:reporter" in conversation.start["agents"]


def test_a_skill_is_listed_by_its_description_and_read_only_when_it_is_used(story: Story) -> None:
    first, second = story.model.of_lane()[:2]
    assert "Use to run the DEFT loop" in json.dumps(first.body)
    assert "## What counts as proof" not in json.dumps(first.body)
    assert "## What counts as proof" in second.turn.text


def test_every_hook_that_fired_ended_well(story: Story) -> None:
    events = [event for told in story.conversations.values() for event in told.events]
    fired = [event for event in events if event.get("subtype") == "hook_response"]
    assert {event["hook_event"] for event in fired} >= {
        *("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop")
    }
    assert [event for event in fired if event["outcome"] != "success" or event["exit_code"] != 0] == []


# --- before the approval -------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", REFUSED_BEFORE)
def test_nothing_with_an_effect_passes_before_the_users_word(story: Story, attempt: str) -> None:
    refused = story.results[attempt]
    assert refused.failed
    assert refused.text.startswith("deft gate: refused")
    assert ("deft preflight" if attempt == "run before any plan" else "show its summary") in refused.text


def test_before_the_approval_there_is_no_run(story: Story) -> None:
    assert story.runs_before_approval == 0
    assert not (story.workspace.results / "approval.json").exists()


def test_the_summary_reaches_the_user_with_the_source_of_every_value(story: Story) -> None:
    shown = story.conversations["summary"].words
    assert shown == story.results["preflight"].text
    for words in ("# Pre-Flight Summary", "| user ", "| spec ", "| default |", "can never prove"):
        assert words in shown


# --- the user's word -----------------------------------------------------------------------------------


def test_the_users_word_approves_the_plan_of_the_session_and_names_the_next_command(story: Story) -> None:
    approval = files.read_json(story.run.root / "approval.json")
    assert approval["decision"] == "approved"
    assert approval["by"] == "user-words"
    assert approval["session_id"] == story.conversations["summary"].session
    assert f"approved the plan of {story.run.root.name}" in story.results["go"].text
    assert f"deft run {story.workspace.root} --until judgement" in story.results["go"].text


@pytest.mark.parametrize("attempt", REFUSED_AFTER)
def test_after_the_approval_side_effects_go_through_deft_alone(story: Story, attempt: str) -> None:
    assert story.results[attempt].failed
    assert f"deft run {story.run.root} --until judgement" in story.results[attempt].text


def test_a_run_with_work_left_is_not_abandoned_without_one_reminder(story: Story) -> None:
    assert "has work left" in story.reminder
    assert f"deft run {story.run.root}" in story.reminder


# --- waiting, being killed, resuming -------------------------------------------------------------------


def test_a_stage_that_outlasts_the_command_is_waited_out_by_repeating_it(story: Story) -> None:
    answers = [*story.answers["first"], *story.answers["second"]]
    stages = [told_stage(answer) for answer in answers]
    assert any(earlier and earlier == later for earlier, later in pairwise(stages))
    for answer in answers:
        assert len(json.dumps(answer, ensure_ascii=False).encode()) <= 1024
        assert answer["next"].startswith("deft ")


def test_the_runner_outlives_the_client_that_was_killed_in_the_middle_of_a_stage(story: Story) -> None:
    assert story.conversations["go"].code == -9
    assert story.stage_at_the_kill
    assert story.runner_outlived_client


def test_a_second_conversation_is_told_of_the_unfinished_run_and_ends_it(story: Story) -> None:
    assert story.conversations["second"].session != story.conversations["summary"].session
    assert "unfinished run" in story.results["second start"].text
    assert story.answers["second"][-1]["status"] == "complete"
    stages = [
        f"{entry['iter']} {entry['stage']}" for entry in read(story.run.log) if entry["kind"] == "stage"
    ]
    iteration = [
        "routing",
        "anomalygen",
        "data_mining",
        "data_merge",
        "train",
        "evaluate",
        "rca",
        "loop_stop",
    ]
    baseline = ["train", "evaluate", "rca"]
    assert stages == [*(f"baseline {name}" for name in baseline), *(f"iter1 {name}" for name in iteration)]


def test_every_record_of_the_run_agrees_with_its_artifacts(story: Story) -> None:
    assert audit_run(story.run)["status"] == "agrees"


# --- looking and writing -------------------------------------------------------------------------------


def test_the_model_sees_every_picture_that_it_judges(story: Story) -> None:
    assert [look["phase"] for look in story.answers["images"]] == ["baseline", "iter1"]
    for look in story.answers["images"]:
        assert 0 < look["seen"] == look["asked"] <= 10


def test_each_report_is_finished_and_says_what_its_run_says(story: Story) -> None:
    assert [path.name for path in reports(story)] == ["RCA_Report.md", "Mining_Report.md", "RCA_Report.md"]
    for path in reports(story):
        assert "TO WRITE" not in path.read_text()
        assert problems_of(str(path)) == []


@pytest.mark.parametrize("phase", ["baseline", "iter1"])
def test_a_number_that_no_fact_gives_is_named_to_the_model(story: Story, phase: str) -> None:
    assert f"says {INVENTED}" in story.told[f"{phase} slip"]
    assert str(INVENTED) not in story.told[f"{phase} mended"].splitlines()[-1]


def test_each_report_is_packaged_with_skill_plan_versions_and_conversation(story: Story) -> None:
    for path in reports(story):
        config = path.parent / ("rca_config" if path.name == "RCA_Report.md" else "mining_config")
        for name in ("skill/SKILL.md", "plan.json", "versions.yaml"):
            assert (config / name).is_file(), name
        transcript = path.parent / "claude_session.jsonl"
        assert stat.S_IMODE(transcript.stat().st_mode) == 0o600
        assert "deft spot-check" in transcript.read_text()


@pytest.mark.parametrize("phase", ["baseline", "iter1"])
def test_the_reporter_writes_its_summary_from_facts_alone(story: Story, phase: str) -> None:
    written = story.run.root / f"{phase}_summary.md"
    assert 0 < len(written.read_text().split()) <= 300
    assert not story.results[f"reporter wrote {written.name}"].failed
    assert str(written) in story.results[f"{phase} reporter"].text
    tools = {
        tool["name"] for request in story.model.of_lane(reporter_phrase()) for tool in request.body["tools"]
    }
    assert tools == {"Bash", "Read", "Write"}


# --- secrets -------------------------------------------------------------------------------------------


def private_to_the_client(story: Story, path: Path) -> bool:
    """Say whether a file is the client's own record of the conversation, or the planted `.env`."""
    own = story.client.home / ".claude"
    ours = own / "plugins" / "data"
    if path == story.workspace.root / ".env" or story.streams in path.parents:
        return True
    return path == story.client.home / ".claude.json" or (own in path.parents and ours not in path.parents)


@pytest.mark.parametrize("place", SECRETS)
def test_a_planted_secret_is_in_no_file_of_a_run(story: Story, place: str) -> None:
    wanted = spellings(SECRETS[place])
    looked_at = [
        path
        for path in story.streams.parent.rglob("*")
        if path.is_file() and not path.is_symlink() and not private_to_the_client(story, path)
    ]
    assert len(looked_at) > 100
    assert [path for path in looked_at if any(spelling in path.read_bytes() for spelling in wanted)] == []


@pytest.mark.parametrize("place", SECRETS)
def test_a_planted_secret_is_in_no_command_line(story: Story, place: str) -> None:
    lines = story.command_lines
    assert any(str(story.run.root).encode() in line for line in lines)
    assert [line for line in lines if any(spelling in line for spelling in spellings(SECRETS[place]))] == []


def test_the_model_is_told_the_names_of_credentials_and_no_value(story: Story) -> None:
    assert "credentials present: NGC_API_KEY, NGC_KEY, HF_TOKEN" in story.results["second start"].text
    said = json.dumps([request.body for request in story.model.requests])
    assert SECRETS["environment"] not in said
    assert SECRETS["environment, as a token"] not in said


def test_the_packaged_conversation_keeps_its_words_and_loses_its_secrets(story: Story) -> None:
    assert SECRETS["file"] in story.results["reading secrets"].text
    packaged = (reports(story)[0].parent / "claude_session.jsonl").read_text()
    assert "in mind." in packaged
    assert "NGC_KEY=" in packaged
