"""What each stage cost in tokens, read from the client's transcript (JSON Lines) and noted in the log.

A stage's window is (end of the stage before it, its own end]; the first begins with the run. One reply
fills several transcript rows with the same message id: the last row counts. Subagents write their own files
and belong to it. The log is append-only, so usage is a note `{"tokens": {seq: usage}}`; the last note about
an entry counts.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deft.errors import InputRefused
from deft.run.log import read

Entry = dict[str, Any]
Usage = dict[str, Any]

SLUG_LENGTH = 200
TRANSCRIPT_HINT = "name one with --transcript FILE"
COUNTS = ("input", "output", "cache_read", "cache_create", "cache_create_5m", "cache_create_1h")


@dataclass(frozen=True)
class Message:
    """One reply of a model: id, end, model, token counts by kind, and whether a subagent got it."""

    id: str
    at: datetime
    model: str
    counts: dict[str, int]
    in_subagent: bool

    @property
    def context_size(self) -> int:
        return self.counts["input"] + self.counts["cache_read"] + self.counts["cache_create"]


# --- transcripts -----------------------------------------------------------------------------------


def project_slug(folder: str) -> str:
    """Return the client's name for a folder: every character but letters and digits becomes a dash."""
    return re.sub(r"[^A-Za-z0-9]", "-", folder)


def project_folder(working_folder: Path, projects: Path | None = None) -> Path:
    """Return where the client keeps the transcripts of a working folder; refused when there is none.

    A slug of more than 200 characters is cut there and gets a hash, so it is found by its beginning.
    """
    root = projects or _projects_root()
    slug = project_slug(str(working_folder))
    cut = len(slug) > SLUG_LENGTH
    candidates = sorted(root.glob(f"{slug[:SLUG_LENGTH]}-*")) if cut else [root / slug]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise InputRefused(
        "no transcripts of this folder",
        value=root / slug[:SLUG_LENGTH],
        hint=TRANSCRIPT_HINT,
    )


def _projects_root() -> Path:
    return Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude") / "projects"


def transcript_files(folder: Path) -> list[Path]:
    """Return the sessions of a project folder and the subagents of each; refused when there are none."""
    found = sorted(folder.glob("*.jsonl")) + sorted(folder.glob("*/subagents/*.jsonl"))
    if not found:
        raise InputRefused("no transcript in this folder", value=folder, hint=TRANSCRIPT_HINT)
    return found


def with_subagents(transcript: Path) -> list[Path]:
    """Return one session's transcript and those of its subagents; refused when it does not exist."""
    if not transcript.is_file():
        raise InputRefused("transcript does not exist", value=transcript)
    return [transcript, *sorted((transcript.with_suffix("") / "subagents").glob("*.jsonl"))]


def read_messages(transcripts: Iterable[Path]) -> list[Message]:
    """Return every reply once, in order of time; rows that are no reply, or torn, are passed over."""
    found: dict[str, Message] = {}
    for path in transcripts:
        for row in _rows(path):
            message = _message(row, in_subagent=path.parent.name == "subagents")
            if message is not None:
                found[message.id] = message
    return sorted(found.values(), key=lambda message: (message.at, message.id))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                yield row


def _message(row: dict[str, Any], *, in_subagent: bool) -> Message | None:
    body = row.get("message")
    if not isinstance(body, dict) or not isinstance(body.get("usage"), dict):
        return None
    identity = body.get("id") or row.get("uuid")
    moment = _moment(row.get("timestamp"))
    if not identity or moment is None:
        return None
    counts = _counts(body["usage"])
    in_subagent = in_subagent or row.get("isSidechain") is True
    return Message(str(identity), moment, str(body.get("model", "")), counts, in_subagent)


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _counts(usage: dict[str, Any]) -> dict[str, int]:
    by_age = usage.get("cache_creation")
    by_age = by_age if isinstance(by_age, dict) else {}
    return {
        "input": _count(usage, "input_tokens"),
        "output": _count(usage, "output_tokens"),
        "cache_read": _count(usage, "cache_read_input_tokens"),
        "cache_create": _count(usage, "cache_creation_input_tokens"),
        "cache_create_5m": _count(by_age, "ephemeral_5m_input_tokens"),
        "cache_create_1h": _count(by_age, "ephemeral_1h_input_tokens"),
    }


def _count(record: dict[str, Any], name: str) -> int:
    value = record.get(name)
    return value if type(value) is int and value >= 0 else 0


# --- attribution -----------------------------------------------------------------------------------


def attribute(entries: Sequence[Entry], messages: Sequence[Message], run_start: datetime) -> dict[int, Usage]:
    """Return the usage of every stage entry, by its sequence number, that any message falls to.

    Entries count in the order of `seq`; a clock that went backwards leaves an empty window, never a
    negative one.
    """
    usage: dict[int, Usage] = {}
    lower = run_start
    for entry in entries:
        if entry["kind"] not in ("stage", "manual"):
            continue
        upper = datetime.fromisoformat(entry["ts"])
        inside = [message for message in messages if lower < message.at <= upper]
        if inside:
            usage[entry["seq"]] = summarise(inside)
        lower = max(lower, upper)
    return usage


def summarise(messages: Sequence[Message]) -> Usage:
    """Return the log's `tokens` record of some messages; the context size is that of the last main reply."""
    main = [message for message in messages if not message.in_subagent] or list(messages)
    totals = {name: sum(message.counts[name] for message in messages) for name in COUNTS}
    return {
        "n_messages": len(messages),
        **totals,
        "context_size_end": main[-1].context_size,
        "models": sorted({message.model for message in messages if message.model}),
    }


def token_table(entries: Sequence[Entry]) -> dict[int, Usage]:
    """Return the usage of entries by sequence number: their own `tokens`, overruled by later notes."""
    table: dict[int, Usage] = {}
    for entry in entries:
        if "tokens" in entry:
            table[entry["seq"]] = entry["tokens"]
        for seq, usage in entry.get("outcome", {}).get("tokens", {}).items():
            table[int(seq)] = usage
    return table


def run_start(entries: Sequence[Entry], created_at: str | None = None) -> datetime | None:
    """Return when a run began: its approval's entry, else the plan's `created_at`, else unknown."""
    for entry in entries:
        if entry["kind"] == "approval":
            return datetime.fromisoformat(entry["ts"])
    return _moment(created_at) if created_at else None


def align_token_usage(
    log_path: Path,
    transcripts: Sequence[Path],
    *,
    append: Callable[[Entry], object],
    created_at: str | None = None,
    dry_run: bool = False,
) -> dict[int, Usage]:
    """Attribute transcripts to a log's stages and append one note about it (none when nothing is new).

    `append` writes to that log, and folds the state of a planned run with it. Returns the usage by sequence
    number. Raises InputRefused for a missing log or when nothing can be
    attributed.
    """
    if not log_path.is_file():
        raise InputRefused("log does not exist", value=log_path)
    entries = read(log_path)
    usage = attribute(entries, read_messages(transcripts), _lower_bound(entries, created_at))
    if not usage:
        raise InputRefused(
            "no reply in the transcripts falls within a stage of this log",
            value=", ".join(path.name for path in transcripts[:3]) or "no transcript",
            hint="name the run's own session with --transcript FILE",
        )
    known = token_table(entries)
    if not dry_run and any(known.get(seq) != record for seq, record in usage.items()):
        append(_note(entries, usage))
    return usage


def _lower_bound(entries: Sequence[Entry], created_at: str | None) -> datetime:
    start = run_start(entries, created_at)
    if start is not None:
        return start
    if not entries:
        return datetime.now(UTC)
    # A log without plan or approval: its first stage began its duration before its line, and not earlier.
    first = entries[0]
    ended = datetime.fromisoformat(first["ts"])
    return datetime.fromtimestamp(ended.timestamp() - first["duration_sec"], UTC)


def _note(entries: Sequence[Entry], usage: dict[int, Usage]) -> Entry:
    replies = sum(record["n_messages"] for record in usage.values())
    return {
        "iter": entries[-1]["iter"],
        "stage": "tokens",
        "status": "ok",
        "summary": f"{replies} replies attributed to {len(usage)} stages",
        "kind": "note",
        "outcome": {"tokens": {str(seq): record for seq, record in usage.items()}},
    }
