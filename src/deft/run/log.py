"""The truth of a run: `loop_log.jsonl`, one JSON object a line, hash-chained, durable when acknowledged.

A line is the original's fields first (a reader of its log reads ours), then `attempt kind evidence
outcome`, then `prev` (the previous line's sha256) and `sha256` (of the canonical JSON of the entry without
that field). What a crash can leave is a torn last line: it is kept aside, cut and recorded by the next
append. Anything else that does not verify is corruption and stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from deft import files
from deft.errors import Corruption, EnvironmentMissing, RunBusy, StageFailed, storage_fault
from deft.guard.redaction import redacted
from deft.run.transitions import check_entry, may_complete
from deft.schemas import validate
from deft.untrusted import LONGEST_FACT, untrusted
from deft.workspace.layout import RunFolder

Entry = dict[str, Any]

GENESIS = "0" * 64
FIELDS = (
    *("seq", "ts", "iter", "stage", "status", "summary", "duration_sec", "context_tokens", "tokens"),
    *("attempt", "kind", "evidence", "outcome", "prev", "sha256"),
)
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
TAIL_BYTES = 64 * 1024
LOCK_WAIT_SECONDS = 60.0


def utc_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class LogScan:
    """A verified log: its entries, and the bytes of a torn last line that no append has cut yet."""

    entries: list[Entry]
    torn: bytes


class LoopLog:
    """The one writer of a run's log; any number of processes may hold one."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.path = path
        self._clock = clock
        self._lock = FileLock(path.with_name(f".{path.stem}.lock"), poll_interval=0.002)

    def append(self, entry: Entry) -> Entry:
        """Write one entry durably and return it with `seq`, `ts`, `prev` and `sha256`.

        Needs `iter stage status summary`; `duration_sec context_tokens tokens attempt kind evidence
        outcome` have defaults. Reads the tail of the file only, except for what completes a stage: that is
        checked against the whole log and the plan beside it under the same lock. Raises StateConflict,
        RunBusy (60 s), Corruption, EnvironmentMissing (disk).
        """
        with self._faults_named(), self.locked():
            last = self._recover(_read_tail(self.path))
            content = _with_defaults(self._without_secrets(entry))
            if may_complete(content):
                check_entry(read(self.path), content, self._plan())
            return self._write(content, last, at=None)

    def _without_secrets(self, entry: Entry) -> Entry:
        """Redact the words of other programs whole: a secret that was cut first is no longer known."""
        if entry["status"] != "error" and entry.get("kind") != "manual":
            return entry
        return {**entry, "summary": redacted(str(entry["summary"]), str(self.path.parent))}

    def read(self) -> list[Entry]:
        """Return the verified entries."""
        return read(self.path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other writer of this log out; its holder may append meanwhile."""
        with self._faults_named():
            self._acquire()
        try:
            yield
        finally:
            self._lock.release()

    def _acquire(self) -> None:
        try:
            self._lock.acquire(LOCK_WAIT_SECONDS)
        except Timeout:
            raise RunBusy("another process has kept the log locked for a minute", value=self.path) from None

    @contextmanager
    def _faults_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            failure = EnvironmentMissing if storage_fault(error) else StageFailed
            raise failure(
                f"log cannot be written ({error.strerror or error})",
                value=self.path,
                hint="make room or mend the disk, then the same command again: nothing recorded was lost",
            ) from None

    def _plan(self) -> Entry:
        """Return the plan beside the log; nothing where a folder is worked on without one."""
        path = RunFolder(self.path.parent).plan
        if not path.is_file():
            return {}
        plan: Entry = files.read_json(path)
        validate(plan, "plan")
        return plan

    def _write(self, content: Entry, last: Entry | None, *, at: int | None) -> Entry:
        entry = _seal(content, last, self._clock())
        validate(entry, "log_entry")
        files.append_line(self.path, _spelled(entry) + b"\n", at=at)
        return entry

    def _recover(self, tail: _Tail) -> Entry | None:
        if not tail.torn:
            return tail.last
        aside = _keep_aside(self.path, tail.torn)
        content = {
            "iter": tail.last["iter"] if tail.last else "baseline",
            "stage": "recovered",
            "status": "ok",
            "summary": f"a torn line of {len(tail.torn)} bytes was cut and kept in {aside.name}",
            "kind": "recovered",
            "evidence": [
                {"path": aside.name, "sha256": files.sha256_of_bytes(tail.torn), "size": len(tail.torn)}
            ],
        }
        return self._write(_with_defaults(content), tail.last, at=tail.end)


def _with_defaults(entry: Entry) -> Entry:
    defaults: Entry = {"duration_sec": 0, "context_tokens": 0, "attempt": 1, "kind": "stage"}
    content = {**defaults, "evidence": [], "outcome": {}, **entry}
    content["summary"] = untrusted(content["summary"], LONGEST_FACT)
    # Through JSON once, so that what is hashed is what a reader will parse (keys become text, tuples lists).
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    cleaned: Entry = json.loads(text.encode("utf-8", "replace"))
    return cleaned


def _seal(content: Entry, last: Entry | None, moment: datetime) -> Entry:
    entry = {
        **content,
        "seq": 1 + (last["seq"] if last else 0),
        "ts": moment.astimezone(UTC).strftime(TIME_FORMAT),
        "prev": last["sha256"] if last else GENESIS,
    }
    entry["sha256"] = entry_sha256(entry)
    known = [name for name in FIELDS if name in entry]
    return {name: entry[name] for name in [*known, *(name for name in entry if name not in FIELDS)]}


def entry_sha256(entry: Entry) -> str:
    """Return the sha256 of an entry's canonical JSON without its own `sha256`."""
    return files.sha256_of_record({name: value for name, value in entry.items() if name != "sha256"})


def _keep_aside(path: Path, torn: bytes) -> Path:
    number = 1
    while True:
        aside = path.with_name(f"{path.stem}.torn.{number}")
        if not aside.exists():
            return files.write_bytes(aside, torn)
        if aside.read_bytes() == torn:  # kept by a recovery that was killed before it could record it
            return aside
        number += 1


# --- reading and verifying -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Tail:
    last: Entry | None
    end: int
    torn: bytes


class _Unreadable(ValueError):
    """A line that is no whole entry."""


def read(path: Path) -> list[Entry]:
    """Return the entries of a log after checking the whole chain; a torn last line never happened.

    A missing file is an empty log. Raises Corruption that names the first bad line.
    """
    return scan(path).entries


def scan(path: Path) -> LogScan:
    """Verify a log and return its entries together with what is torn at its end."""
    content = path.read_bytes() if path.exists() else b""
    lines, torn = _peel(content, path)
    entries: list[Entry] = []
    for number, line in enumerate(lines, start=1):
        entry = _verified(line, path, number)
        if not _follows(entry, entries[-1] if entries else None):
            raise _corruption(path, number, "does not follow the line before it")
        entries.append(entry)
    return LogScan(entries, torn)


def _follows(entry: Entry, last: Entry | None) -> bool:
    expected = (last["seq"] + 1, last["sha256"]) if last else (1, GENESIS)
    return (entry.get("seq"), entry.get("prev")) == expected


def _verified(line: bytes, path: Path, number: int) -> Entry:
    try:
        return _parse(line)
    except _Unreadable as error:
        raise _corruption(path, number, str(error)) from None


def _corruption(path: Path, number: int, reason: str) -> Corruption:
    return Corruption(
        f"line {number} of the log {reason}",
        value=path,
        hint="restore the file from a backup; it is never repaired by guessing",
    )


def _parse(line: bytes) -> Entry:
    try:
        entry = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise _Unreadable("is not JSON") from None
    checked = _checked(entry)
    if _spelled(checked) != line.removesuffix(b"\r"):  # 0.13333333333333333 and ...3332 are one number
        raise _Unreadable("is not spelled as it was written")
    return checked


def _spelled(entry: Entry) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode("utf-8")


def _checked(entry: object) -> Entry:
    if not isinstance(entry, dict):
        raise _Unreadable("is not a JSON object")
    try:
        matches = entry.get("sha256") == entry_sha256(entry)
    except (ValueError, RecursionError):
        matches = False
    if not matches:
        raise _Unreadable("does not match its own sha256")
    return entry


def _peel(content: bytes, path: Path) -> tuple[list[bytes], bytes]:
    """Split into whole lines and the torn end (empty when the last line is whole)."""
    lines = content.split(b"\n")
    torn = lines.pop()
    if not torn and lines and not _is_whole(lines[-1]):
        torn = lines.pop() + b"\n"
    if torn and _is_damage(torn):
        raise _corruption(path, _line_number(path, len(torn)), "is damaged, not torn")
    return lines, torn


def _is_whole(line: bytes) -> bool:
    try:
        _parse(line)
    except _Unreadable:
        return False
    return True


def _is_damage(torn: bytes) -> bool:
    """Tell an end that no interrupted append leaves: a whole object that is no entry, or bytes behind one.

    Zeroes behind it are blocks that a power loss kept from the disk: the entry was not acknowledged yet.
    """
    text = torn.decode("utf-8", "replace")
    try:
        first, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(first, dict):
        return False
    try:
        _checked(first)
    except _Unreadable:
        return True
    return bool(text[end:].strip("\0"))


def _line_number(path: Path, torn: int) -> int:
    content = path.read_bytes()
    return 1 + content.count(b"\n", 0, len(content) - torn)


def _read_tail(path: Path) -> _Tail:
    """Read just enough of the end to know the last whole entry and what is torn behind it."""
    size = path.stat().st_size if path.exists() else 0
    window = TAIL_BYTES
    while True:
        start = max(0, size - window)
        block = _read_from(path, start) if size else b""
        if start:
            block = block.partition(b"\n")[2]
        if not start or block.count(b"\n") >= 2:
            break
        window *= 2
    lines, torn = _peel(block, path)
    return _Tail(_last_entry(lines, path, from_start=not start), size - len(torn), torn)


def _last_entry(lines: list[bytes], path: Path, *, from_start: bool) -> Entry | None:
    """Return the last whole entry if it follows the one before it; else the scan names the bad line."""
    try:
        ends = [_parse(line) for line in lines[-2:]]
    except _Unreadable:
        ends = read(path)
    last, before = ends[-1] if ends else None, ends[-2] if len(ends) > 1 else None
    if last is not None and (before is not None or from_start) and not _follows(last, before):
        return read(path)[-1]
    return last


def _read_from(path: Path, start: int) -> bytes:
    with open(path, "rb") as stream:
        stream.seek(start)
        return stream.read()
