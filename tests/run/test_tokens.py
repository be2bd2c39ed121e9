"""Token accounting: each reply once, in the stage whose window it falls in."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deft.errors import InputRefused
from deft.run.log import LoopLog, read
from deft.run.state import fold
from deft.run.tokens import (
    align_token_usage,
    attribute,
    project_folder,
    project_slug,
    read_messages,
    token_table,
    transcript_files,
    with_subagents,
)

Entry = dict[str, Any]
Make = Callable[..., Entry]


def row(identity: str | None, at: str, output: int, **more: Any) -> str:
    usage = {
        "input_tokens": 10,
        "output_tokens": output,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
    }
    message = {"id": identity, "model": "m-1", "usage": usage}
    return json.dumps({"type": "assistant", "timestamp": f"2026-01-02T{at}Z", "message": message, **more})


def transcript(path: Path, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def two_stages(log: LoopLog, stage: Make, note: Make) -> LoopLog:
    """Approval 03:04:05, train until 03:05:05, a note 03:06:05, evaluate until 03:07:05."""
    log.append({**note("approved"), "stage": "approval", "kind": "approval"})
    log.append(stage("baseline/train"))
    log.append(note())
    log.append(stage("baseline/evaluate"))
    return log


# --- reading -----------------------------------------------------------------------------------------


def test_the_rows_of_one_reply_count_once_and_the_last_counts(tmp_path: Path) -> None:
    path = transcript(
        tmp_path / "s.jsonl",
        row("a", "03:04:30.000", 1),
        row("a", "03:04:31.000", 5),
        row("a", "03:04:32.000", 7),
    )
    (message,) = read_messages([path])
    assert message.counts["output"] == 7
    assert message.at == datetime(2026, 1, 2, 3, 4, 32, tzinfo=UTC)


def test_rows_that_are_no_reply_are_passed_over(tmp_path: Path) -> None:
    path = transcript(
        tmp_path / "s.jsonl",
        '{"type": "user", "message": {"role": "user", "content": "go"}}',
        '{"type": "assistant", "message": {"id": "x", "usage": null}}',
        '{"type": "assistant", "message": {"id": "x", "usage": {}}, "timestamp": "yesterday"}',
        row(None, "03:04:30.000", 3),
        "[]",
        "\ufffd{torn",
        row("a", "03:04:30.000", 3),
        '{"type": "assi',
    )
    assert [message.id for message in read_messages([path])] == ["a"]


def test_figures_that_are_no_counts_are_zero(tmp_path: Path) -> None:
    usage = {"input_tokens": "many", "output_tokens": -5, "cache_read_input_tokens": True}
    body = {"timestamp": "2026-01-02T03:04:30Z", "message": {"id": "a", "usage": usage}}
    (message,) = read_messages([transcript(tmp_path / "s.jsonl", json.dumps(body))])
    assert set(message.counts.values()) == {0}


def test_subagents_of_every_session_are_read(tmp_path: Path) -> None:
    transcript(tmp_path / "s1.jsonl", row("a", "03:04:30.000", 1))
    transcript(tmp_path / "s1" / "subagents" / "agent-1.jsonl", row("b", "03:04:31.000", 2))
    transcript(tmp_path / "s2.jsonl", row("c", "03:04:32.000", 3))
    found = transcript_files(tmp_path)
    assert [message.id for message in read_messages(found)] == ["a", "b", "c"]
    assert [path.name for path in with_subagents(tmp_path / "s1.jsonl")] == ["s1.jsonl", "agent-1.jsonl"]


@pytest.mark.parametrize(
    ("folder", "slug"),
    [
        ("/tmp/my_proj.v2", "-tmp-my-proj-v2"),
        ("/home/ö k/a b", "-home---k-a-b"),
        ("/x/UPPER-9", "-x-UPPER-9"),
    ],
)
def test_every_character_but_letters_and_digits_becomes_a_dash(folder: str, slug: str) -> None:
    assert project_slug(folder) == slug


def test_a_long_folder_name_is_found_by_its_beginning(tmp_path: Path) -> None:
    working = Path("/data") / ("x" * 150) / ("y" * 150)
    kept = tmp_path / f"{project_slug(str(working))[:200]}-1a2b3c"
    kept.mkdir()
    assert project_folder(working, tmp_path) == kept
    with pytest.raises(InputRefused, match="no transcripts"):
        project_folder(Path("/elsewhere"), tmp_path)


def test_the_client_s_own_folder_is_looked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    (tmp_path / "projects" / "-w").mkdir(parents=True)
    assert project_folder(Path("/w")) == tmp_path / "projects" / "-w"


def test_a_missing_transcript_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="transcript does not exist"):
        with_subagents(tmp_path / "s.jsonl")
    with pytest.raises(InputRefused, match="no transcript in this folder"):
        transcript_files(tmp_path)


# --- windows -----------------------------------------------------------------------------------------


def test_each_reply_falls_to_the_stage_that_ended_after_it(two_stages: LoopLog, tmp_path: Path) -> None:
    path = transcript(
        tmp_path / "s.jsonl",
        row("before the run", "03:04:05.000", 1000),
        row("train", "03:04:05.001", 1),
        row("at its end", "03:05:05.000", 2),
        row("evaluate", "03:05:05.001", 4),
        row("after the note", "03:06:30.000", 8),
        row("too late", "03:07:05.001", 1000),
    )
    usage = align_token_usage(two_stages.path, [path], append=two_stages.append)
    assert {seq: record["output"] for seq, record in usage.items()} == {2: 3, 4: 12}


def test_a_summary_adds_up_and_the_context_is_the_main_conversation_s(
    two_stages: LoopLog, tmp_path: Path
) -> None:
    path = transcript(tmp_path / "s.jsonl", row("a", "03:04:30.000", 1))
    agent = transcript(
        tmp_path / "s" / "subagents" / "x.jsonl", row("b", "03:04:40.000", 2).replace("100", "9")
    )
    assert align_token_usage(two_stages.path, [path, agent], append=two_stages.append)[2] == {
        "n_messages": 2,
        "input": 20,
        "output": 3,
        "cache_read": 109,
        "cache_create": 60,
        "cache_create_5m": 40,
        "cache_create_1h": 20,
        "context_size_end": 140,
        "models": ["m-1"],
    }


def test_without_an_approval_the_plan_s_time_is_the_lower_bound(
    log: LoopLog, stage: Make, tmp_path: Path
) -> None:
    log.append(stage("baseline/train"))
    path = transcript(tmp_path / "s.jsonl", row("a", "03:00:00.000", 1), row("b", "03:00:01.000", 2))
    usage = align_token_usage(
        log.path, [path], append=log.append, created_at="2026-01-02T03:00:00Z", dry_run=True
    )
    assert usage[1]["output"] == 2


def test_without_approval_and_plan_the_first_stage_s_own_duration_is(
    log: LoopLog, stage: Make, tmp_path: Path
) -> None:
    log.append(stage("baseline/train"))  # 7 seconds, ended 03:04:05
    path = transcript(tmp_path / "s.jsonl", row("old", "03:03:57.000", 1), row("b", "03:03:59.000", 2))
    assert align_token_usage(log.path, [path], append=log.append)[1]["output"] == 2


def test_a_clock_that_went_backwards_counts_nothing_twice(tmp_path: Path) -> None:
    entries = [
        {"seq": 1, "kind": "stage", "ts": "2026-01-02T03:10:00.000000Z"},
        {"seq": 2, "kind": "stage", "ts": "2026-01-02T03:05:00.000000Z"},
        {"seq": 3, "kind": "stage", "ts": "2026-01-02T03:11:00.000000Z"},
    ]
    path = transcript(tmp_path / "s.jsonl", row("a", "03:06:00.000", 1), row("b", "03:10:30.000", 2))
    usage = attribute(entries, read_messages([path]), datetime(2026, 1, 2, 3, tzinfo=UTC))
    assert {seq: record["output"] for seq, record in usage.items()} == {1: 1, 3: 2}


# --- in the log --------------------------------------------------------------------------------------


def test_usage_is_a_note_and_no_written_line_changes(
    two_stages: LoopLog, plan: dict[str, Any], tmp_path: Path
) -> None:
    before = two_stages.path.read_bytes()
    path = transcript(tmp_path / "s.jsonl", row("a", "03:04:30.000", 1))
    usage = align_token_usage(two_stages.path, [path], append=two_stages.append)
    assert two_stages.path.read_bytes().startswith(before)
    entries = read(two_stages.path)
    assert entries[-1]["kind"] == "note"
    assert token_table(entries) == usage
    assert fold(plan, entries)["iterations"]["baseline"]["stages"]["train"]["tokens"] == usage[2]


def test_a_dry_run_and_a_repetition_write_nothing(two_stages: LoopLog, tmp_path: Path) -> None:
    path = transcript(tmp_path / "s.jsonl", row("a", "03:04:30.000", 1))
    before = two_stages.path.read_bytes()
    align_token_usage(two_stages.path, [path], append=two_stages.append, dry_run=True)
    assert two_stages.path.read_bytes() == before
    align_token_usage(two_stages.path, [path], append=two_stages.append)
    after = two_stages.path.read_bytes()
    align_token_usage(two_stages.path, [path], append=two_stages.append)
    assert two_stages.path.read_bytes() == after


def test_a_longer_transcript_overrules_the_note_before(two_stages: LoopLog, tmp_path: Path) -> None:
    path = transcript(tmp_path / "s.jsonl", row("a", "03:04:30.000", 1))
    align_token_usage(two_stages.path, [path], append=two_stages.append)
    transcript(path, row("a", "03:04:30.000", 1), row("b", "03:04:31.000", 5))
    align_token_usage(two_stages.path, [path], append=two_stages.append)
    assert token_table(read(two_stages.path))[2]["output"] == 6


def test_nothing_attributed_is_refused(two_stages: LoopLog, tmp_path: Path) -> None:
    path = transcript(tmp_path / "s.jsonl", row("a", "01:00:00.000", 1))
    with pytest.raises(InputRefused, match="no reply in the transcripts"):
        align_token_usage(two_stages.path, [path], append=two_stages.append)
    with pytest.raises(InputRefused, match="log does not exist"):
        align_token_usage(tmp_path / "none.jsonl", [path], append=pytest.fail)
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InputRefused, match="no reply"):
        align_token_usage(tmp_path / "empty.jsonl", [path], append=pytest.fail)


def test_usage_that_the_original_wrote_into_a_line_is_read() -> None:
    usage = {"n_messages": 1}
    entries = [{"seq": 4, "tokens": usage, "kind": "stage"}]
    assert token_table(entries) == {4: usage}
