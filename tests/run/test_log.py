"""The log: one writer, one chain, nothing acknowledged is lost, nothing damaged is believed."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from deft import files
from deft.errors import Corruption, EnvironmentMissing, RunBusy, StateConflict, UsageError
from deft.run import log as log_module
from deft.run.log import FIELDS, GENESIS, LoopLog, entry_sha256, read, scan

Entry = dict[str, Any]
Make = Callable[..., Entry]

SEED_FIELDS = ["seq", "ts", "iter", "stage", "status", "summary", "duration_sec", "context_tokens"]


def append_many(path: str, writer: int, count: int) -> None:
    """Append in a process of its own."""
    log = LoopLog(Path(path))
    for number in range(count):
        entry = {"iter": "baseline", "stage": "remark", "status": "ok", "summary": f"{writer}:{number}"}
        log.append({**entry, "kind": "note"})


def append_in_processes(path: Path, writers: int, count: int) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["deft.run.log"])
    workers = [
        context.Process(target=append_many, args=(str(path), number, count)) for number in range(writers)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * writers


def three_lines(log: LoopLog, note: Make) -> bytes:
    for number in range(3):
        log.append(note(f"remark {number}: ¼ µm ✓"))
    return log.path.read_bytes()


# --- what a line is ----------------------------------------------------------------------------------


def test_the_original_s_fields_come_first_and_the_chain_last(log: LoopLog, stage: Make) -> None:
    entry = log.append(stage("baseline/train"))
    names = list(json.loads(log.path.read_text()))
    assert names[: len(SEED_FIELDS)] == SEED_FIELDS
    assert names[-2:] == ["prev", "sha256"]
    assert set(names) <= set(FIELDS)
    assert entry["ts"] == "2026-01-02T03:04:05.000000Z"
    assert entry["context_tokens"] == 0
    assert isinstance(entry["duration_sec"], int)


def test_each_line_carries_the_hash_of_the_line_before(log: LoopLog, note: Make) -> None:
    first, second = log.append(note()), log.append(note())
    assert (first["seq"], first["prev"]) == (1, GENESIS)
    assert (second["seq"], second["prev"]) == (2, first["sha256"])
    assert second["sha256"] == entry_sha256(second)


def test_what_is_read_is_what_append_returned(log: LoopLog, note: Make) -> None:
    written = [
        log.append(note("tuple and number keys", values={3: (1, 2.5)})),
        log.append(note("\udcff\n\x1b[31m")),
    ]
    assert log.read() == written
    assert written[0]["outcome"]["values"] == {"3": [1, 2.5]}
    assert log.path.read_bytes().count(b"\n") == 2


def test_an_entry_that_breaks_the_schema_is_not_written(log: LoopLog, note: Make) -> None:
    with pytest.raises(Corruption, match=r"\$"):
        log.append({**note(), "verdict": "fine"})
    assert not log.path.exists()


def test_a_missing_log_is_an_empty_one(tmp_path: Path) -> None:
    assert read(tmp_path / "loop_log.jsonl") == []


# --- order and time ----------------------------------------------------------------------------------


def test_a_stage_out_of_order_leaves_the_file_as_it_was(log: LoopLog, stage: Make) -> None:
    log.append(stage("baseline/train"))
    before = log.path.read_bytes()
    with pytest.raises(StateConflict, match="baseline/evaluate comes next"):
        log.append(stage("baseline/rca"))
    with pytest.raises(UsageError, match="banana"):
        log.append(stage("banana/rca"))
    assert log.path.read_bytes() == before


def test_a_clock_that_goes_backwards_changes_no_order(run: Any, note: Make) -> None:
    moments = iter([datetime(2030, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)])
    log = LoopLog(run.log, clock=lambda: next(moments))
    log.append(note("first"))
    log.append(note("second"))
    assert [(entry["seq"], entry["summary"]) for entry in log.read()] == [(1, "first"), (2, "second")]


# --- many writers ------------------------------------------------------------------------------------


def test_eight_processes_lose_and_double_nothing(run: Any) -> None:
    append_in_processes(run.log, writers=8, count=50)
    entries = read(run.log)
    assert [entry["seq"] for entry in entries] == list(range(1, 401))
    assert len({entry["summary"] for entry in entries}) == 400


def test_an_append_reads_the_tail_only(log: LoopLog, note: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(200):
        log.append(note("x" * 500))
    sizes: list[int] = []

    def measured(path: Path, start: int) -> bytes:
        block = real(path, start)
        sizes.append(len(block))
        return block

    real = log_module._read_from
    monkeypatch.setattr(log_module, "_read_from", measured)
    monkeypatch.setattr(log_module, "read", None)
    log.append(note())
    assert log.path.stat().st_size > 2 * log_module.TAIL_BYTES
    assert sizes == [log_module.TAIL_BYTES]


def test_a_last_line_longer_than_the_window_is_read_whole(log: LoopLog, note: Make) -> None:
    long = [f"event {number:06d} " + "x" * 80 for number in range(2_000)]
    log.append(note())
    assert log.append(note(events=long))["seq"] == 2
    assert log.append(note())["seq"] == 3
    assert log.read()[1]["outcome"]["events"] == long


def test_a_log_that_stays_locked_is_busy_not_waited_for_without_end(
    log: LoopLog, note: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "LOCK_WAIT_SECONDS", 0.01)
    with FileLock(log.path.with_name(".loop_log.lock")), pytest.raises(RunBusy):
        log.append(note())


# --- a torn end --------------------------------------------------------------------------------------


def test_a_tail_torn_at_any_byte_is_kept_aside_cut_and_recorded(
    log: LoopLog, note: Make, tmp_path: Path
) -> None:
    whole = three_lines(log, note)
    last = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(last + 1, len(whole)):
        path = tmp_path / f"cut{cut}" / "loop_log.jsonl"
        path.parent.mkdir()
        path.write_bytes(whole[:cut])
        assert scan(path).torn == whole[last:cut]
        assert LoopLog(path).append(note("after"))["seq"] == 4
        entries = read(path)
        assert [entry["kind"] for entry in entries] == ["note", "note", "recovered", "note"]
        aside = path.with_name("loop_log.torn.1")
        assert aside.read_bytes() == whole[last:cut]
        assert entries[2]["evidence"][0]["sha256"] == files.sha256_of_bytes(whole[last:cut])


@pytest.mark.parametrize(
    "tail", [b"\0" * 700, b"\0" * 300 + b"\n", b'{"seq": 4, "sha256": "0"\n', b"\xff\xfe\n", b"["]
)
def test_an_unfinished_write_of_any_look_is_recovered(log: LoopLog, note: Make, tail: bytes) -> None:
    three_lines(log, note)
    with open(log.path, "ab") as stream:
        stream.write(tail)
    assert len(log.read()) == 3
    log.append(note("after"))
    assert [entry["kind"] for entry in log.read()] == ["note", "note", "note", "recovered", "note"]
    assert log.path.with_name("loop_log.torn.1").read_bytes() == tail


def test_a_log_whose_only_line_is_torn_starts_again(log: LoopLog, note: Make) -> None:
    log.path.write_bytes(b'{"seq": 1, "ts"')
    log.append(note())
    assert [entry["kind"] for entry in log.read()] == ["recovered", "note"]


def test_a_second_torn_line_is_kept_beside_the_first(log: LoopLog, note: Make) -> None:
    for tail in (b"one", b"another"):
        with open(log.path, "ab") as stream:
            stream.write(tail)
        log.append(note())
    kept = [path.read_bytes() for path in sorted(log.path.parent.glob("loop_log.torn.*"))]
    assert kept == [b"one", b"another"]


def test_a_recovery_that_was_killed_before_its_record_is_done_again(log: LoopLog, note: Make) -> None:
    log.path.write_bytes(b"torn")
    log.path.with_name("loop_log.torn.1").write_bytes(b"torn")
    log.append(note())
    assert [path.name for path in log.path.parent.glob("loop_log.torn.*")] == ["loop_log.torn.1"]
    assert log.read()[0]["evidence"][0]["path"] == "loop_log.torn.1"


# --- damage ------------------------------------------------------------------------------------------


def test_no_flipped_bit_in_the_middle_passes_in_silence(log: LoopLog, note: Make) -> None:
    whole = three_lines(log, note)
    end_of_middle = whole.rindex(b"\n", 0, -1)
    draw = random.Random(7)
    for position in range(end_of_middle):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << draw.randrange(8)
        log.path.write_bytes(damaged)
        with pytest.raises(Corruption, match=r"line [12] of the log"):
            log.read()


def test_a_damaged_line_in_the_middle_is_named_and_left_alone(log: LoopLog, note: Make) -> None:
    whole = three_lines(log, note)
    lines = whole.splitlines(keepends=True)
    log.path.write_bytes(lines[0] + lines[1].replace(b"remark 1", b"remark 7") + lines[2])
    before = log.path.read_bytes()
    with pytest.raises(Corruption, match="line 2 of the log does not match its own sha256") as caught:
        log.read()
    assert caught.value.exit_code == 6
    assert log.path.read_bytes() == before


@pytest.mark.parametrize("line", [b"[]", b"null", b'"x"', b"", b"\xff", b"[" * 100_000, b'{"sha256": NaN}'])
def test_a_middle_line_that_is_no_entry_is_corruption(log: LoopLog, note: Make, line: bytes) -> None:
    lines = three_lines(log, note).splitlines(keepends=True)
    log.path.write_bytes(lines[0] + line + b"\n" + lines[2])
    with pytest.raises(Corruption, match="line 2"):
        log.read()


@pytest.mark.parametrize("order", [(0, 2), (1, 0, 2), (0, 1, 1, 2), (1, 2)])
def test_a_line_left_out_doubled_or_moved_is_corruption(
    log: LoopLog, note: Make, order: tuple[int, ...]
) -> None:
    lines = three_lines(log, note).splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[number] for number in order))
    with pytest.raises(Corruption, match="does not follow"):
        log.read()


def test_bytes_behind_a_whole_last_line_are_damage_not_a_tear(log: LoopLog, note: Make) -> None:
    whole = three_lines(log, note)
    log.path.write_bytes(whole[:-1] + b"{}")
    with pytest.raises(Corruption, match="line 3 of the log is damaged"):
        log.append(note())


def test_zeroes_behind_a_whole_last_line_are_a_tear_that_ate_its_newline(log: LoopLog, note: Make) -> None:
    whole = three_lines(log, note)
    log.path.write_bytes(whole[:-1] + b"\0" * 100)
    log.append(note("after"))
    assert [entry["kind"] for entry in log.read()] == ["note", "note", "recovered", "note"]


def test_a_last_line_whose_words_were_changed_is_damage_not_a_tear(log: LoopLog, note: Make) -> None:
    log.path.write_bytes(three_lines(log, note).replace(b"remark 2", b"remark 7"))
    for use in (log.read, lambda: log.append(note())):
        with pytest.raises(Corruption, match="line 3 of the log is damaged"):
            use()


def test_a_line_of_the_same_meaning_in_another_spelling_is_corruption(log: LoopLog, note: Make) -> None:
    log.append(note("a share", values={"share": 0.13333333333333333}))
    log.append(note())
    log.path.write_bytes(log.path.read_bytes().replace(b"0.13333333333333333", b"0.13333333333333332"))
    with pytest.raises(Corruption, match="line 1 of the log is not spelled as it was written"):
        log.read()


def test_an_append_behind_a_doubled_line_is_refused(log: LoopLog, note: Make) -> None:
    whole = three_lines(log, note)
    log.path.write_bytes(whole + whole.splitlines(keepends=True)[-1])
    with pytest.raises(Corruption, match="line 4 of the log does not follow"):
        log.append(note())


def test_a_log_that_another_program_wrote_is_not_cut(log: LoopLog, note: Make) -> None:
    foreign = b'{"seq": 1, "ts": "2026-01-01T00:00:00.000000Z", "iter": "baseline", "stage": "train"}\n'
    log.path.write_bytes(foreign)
    with pytest.raises(Corruption, match="line 1"):
        log.append(note())
    assert log.path.read_bytes() == foreign


def test_an_append_behind_a_damaged_line_is_refused(log: LoopLog, note: Make) -> None:
    lines = three_lines(log, note).splitlines(keepends=True)
    log.path.write_bytes(lines[0] + lines[1][:-9] + b"\n" + b"torn")
    with pytest.raises(Corruption, match="line 2"):
        log.append(note())


# --- a disk that fails -------------------------------------------------------------------------------


def fail_on_log_line(monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> None:
    """Let the log's own line be written in part, then fail `call` (write or fsync) once."""
    real_write, real_sync, pending = os.write, os.fsync, {"line": False}

    def write(descriptor: int, content: Any) -> int:
        if bytes(content[:6]) != b'{"seq"':
            return real_write(descriptor, content)
        pending["line"] = True
        if call == "write":
            real_write(descriptor, content[:20])
            raise OSError(code, os.strerror(code))
        return real_write(descriptor, content)

    def fsync(descriptor: int) -> None:
        if call == "fsync" and pending["line"]:
            raise OSError(code, os.strerror(code))
        real_sync(descriptor)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_a_failing_disk_loses_nothing_that_was_acknowledged(
    log: LoopLog, note: Make, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    whole = three_lines(log, note)
    with monkeypatch.context() as patch:
        fail_on_log_line(patch, call, code)
        with pytest.raises(EnvironmentMissing, match="log cannot be written"):
            log.append(note("lost"))
    assert log.path.read_bytes() == whole
    assert log.append(note("kept"))["seq"] == 4


def test_the_name_of_a_new_log_is_durable_before_its_first_byte(
    log: LoopLog, note: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real_sync, real_write = files.sync_folder, os.write

    def write(descriptor: int, content: Any) -> int:
        order.append("line" if bytes(content[:6]) == b'{"seq"' else "other")
        return real_write(descriptor, content)

    def sync(folder: Path) -> None:
        order.append("folder")
        real_sync(folder)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(files, "sync_folder", sync)
    log.append(note())
    log.append(note())
    assert [event for event in order if event != "other"] == ["folder", "line", "line"]


# --- killed in between -------------------------------------------------------------------------------


class Killed(BaseException):
    """What stands for SIGKILL: nothing in the package may catch it to put things right."""


def kill_at(patch: pytest.MonkeyPatch, moment: int, share: float) -> list[str]:
    """Die at the `moment`-th system call that changes a file; a write has done `share` of its bytes."""
    calls: list[str] = []

    def dying(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **more: Any) -> Any:
            calls.append(name)
            if len(calls) - 1 == moment:
                if name == "write":
                    real(arguments[0], arguments[1][: int(len(arguments[1]) * share)])
                raise Killed
            return real(*arguments, **more)

        return call

    for name in ("write", "fsync", "ftruncate", "lseek", "replace"):
        patch.setattr(os, name, dying(name))
    return calls


@pytest.mark.parametrize("share", [0.0, 0.4, 0.99, 1.0])
def test_a_kill_at_any_system_call_of_a_recovery_and_its_append_loses_nothing(
    log: LoopLog, note: Make, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    whole = three_lines(log, note)
    torn = b'{"seq": 4, "ts": "2026-' + b"x" * 2_000
    moment, finished = 0, False
    while not finished:
        for path in log.path.parent.glob("loop_log.torn.*"):
            path.unlink()
        log.path.write_bytes(whole + torn)
        with monkeypatch.context() as patch:
            calls = kill_at(patch, moment, share)
            try:
                log.append(note("fourth"))
                finished = True
            except Killed:
                assert len(calls) == moment + 1
        log.append(note("after"))
        entries = log.read()
        assert log.path.read_bytes().startswith(whole)
        assert entries[-1]["summary"] == "after"
        assert sum(entry["kind"] == "recovered" for entry in entries) >= 1
        kept = [path.read_bytes() for path in sorted(log.path.parent.glob("loop_log.torn.*"))]
        assert kept[0] == torn
        moment += 1
    assert moment > 8


def test_no_part_of_a_secret_is_left_where_the_words_of_a_program_are_cut(tmp_path, monkeypatch):
    secret = "corp-cred/9aZ7bY3xW1vU5tS8rQ2pO4nM6lK0jI"
    monkeypatch.setenv("HF_TOKEN", secret)
    log = LoopLog(tmp_path / "loop_log.jsonl")
    for before in range(150, 220):
        words = f"{'e' * before} {secret} {'f' * 400}"
        entry = {"iter": "baseline", "stage": "train", "status": "error", "summary": words}
        log.append({**entry, "kind": "stage", "attempt": before})
    assert secret[:12] not in log.path.read_text()
