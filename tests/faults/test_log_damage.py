"""What a crash leaves at the end of a log is recovered; what nothing but damage leaves is never believed.

The log is that of a whole run. Every byte of its last three lines is a place where a write may have ended.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from deft import files
from deft.errors import Corruption
from deft.run.log import LoopLog, read, scan
from deft.run.state import fold

FLIPS = 10_000
LAST_LINES = 3
NOTE = {"iter": "iter1", "stage": "remark", "status": "ok", "kind": "note", "summary": "after the crash"}


@pytest.fixture
def whole(finished) -> bytes:
    return finished.log.read_bytes()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for damaged logs; what reaches the disk, and when, is tested elsewhere."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    return tmp_path / "loop_log.jsonl"


def recovers(path: Path, kept: bytes, torn: bytes) -> None:
    """Append to a log with a torn end: every whole line stays, the end is aside and on record."""
    aside = path.with_name("loop_log.torn.1")
    aside.unlink(missing_ok=True)
    path.write_bytes(kept + torn)
    LoopLog(path).append(NOTE)
    content = path.read_bytes()
    assert content.startswith(kept)
    recovered, note = scan(path).entries[kept.count(b"\n") :]
    assert note["summary"] == NOTE["summary"]
    assert recovered["kind"] == "recovered"
    assert aside.read_bytes() == torn
    assert recovered["evidence"] == [
        {"path": aside.name, "sha256": files.sha256_of_bytes(torn), "size": len(torn)}
    ]


def line_start(content: bytes, position: int) -> int:
    """Return where the line begins that the byte before `position` belongs to."""
    return content.rfind(b"\n", 0, position) + 1


def starts_of_last_lines(whole: bytes) -> list[int]:
    starts = [0, *(place + 1 for place, byte in enumerate(whole) if byte == 10)]
    return starts[-1 - LAST_LINES : -1]


@pytest.mark.timeout(300)
def test_a_tail_torn_at_any_byte_of_the_last_three_lines_is_recovered(whole, path, figure):
    first = starts_of_last_lines(whole)[0]
    torn_at = [cut for cut in range(first + 1, len(whole)) if whole[cut - 1] != 10]
    for cut in torn_at:
        start = line_start(whole, cut)
        recovers(path, whole[:start], whole[start:cut])
    tails = other_tails(whole)
    for tail in tails:
        recovers(path, whole, tail)
    figure(
        "torn tail at every byte of the last three lines; NUL, zeroed pages",
        "all recovered, bytes kept aside",
        f"{len(torn_at):,} cuts and {len(tails)} other tails, all recovered",
    )


def other_tails(whole: bytes) -> list[bytes]:
    """What a power loss may leave behind a whole line: zeroed blocks, holes in a line, half a line twice."""
    line = whole[starts_of_last_lines(whole)[-1] :]
    nul = [b"\0" * size for size in (1, 511, 4096, 70_000)]
    holes = [line[:hole] + b"\0" * (len(line) - hole) for hole in range(1, len(line), 97)]
    ended = [tail + b"\n" for tail in nul] + [hole[:-1] + b"\n" for hole in holes]
    return [*nul, *holes, *ended, line[:50] + line[:80], line[:50] + b"\r\n", b"\xff\xfe" + line[:30]]


def test_line_ends_of_another_system_change_no_entry_and_the_log_goes_on(whole, path):
    path.write_bytes(whole.replace(b"\n", b"\r\n"))
    assert read(path) == _entries(path, whole)
    path.write_bytes(whole.replace(b"\n", b"\r\n"))
    LoopLog(path).append(NOTE)
    assert [entry["kind"] for entry in read(path)][-1] == "note"


def _entries(path: Path, content: bytes):
    path.write_bytes(content)
    return read(path)


@pytest.mark.parametrize("back", [1, 2, 3])
def test_a_sequence_number_that_stands_twice_is_corruption_for_reader_and_writer(whole, path, back):
    lines = whole.splitlines(keepends=True)
    path.write_bytes(whole + lines[-back])
    before = path.read_bytes()
    for use in (lambda: read(path), lambda: LoopLog(path).append(NOTE)):
        with pytest.raises(Corruption, match=f"line {len(lines) + 1} of the log does not follow"):
            use()
    assert path.read_bytes() == before


@pytest.mark.timeout(300)
def test_no_flipped_bit_of_a_log_passes_in_silence(whole, path, finished, figure):
    draw = random.Random(7)
    last = starts_of_last_lines(whole)[-1]
    middle = [draw.randrange(8 * last) for _ in range(FLIPS)]
    for bit in middle:
        path.write_bytes(flipped(whole, bit))
        with pytest.raises(Corruption) as caught:
            read(path)
        assert caught.value.exit_code == 6
    end = [draw.randrange(8 * last, 8 * len(whole)) for _ in range(FLIPS // 10)]
    torn = sum(is_torn(path, flipped(whole, bit), whole[:last]) for bit in end)
    figure(
        "random bit flips in a log (seeded)",
        "10,000 in the middle, none silent",
        f"{len(middle):,} in the middle: all exit 6; {len(end):,} in the last line: "
        f"{len(end) - torn:,} exit 6, {torn:,} kept aside and on record",
    )


def flipped(content: bytes, bit: int) -> bytes:
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def is_torn(path: Path, content: bytes, kept: bytes) -> bool:
    """Say whether a damaged last line counts as torn; it is then recovered, else it is corruption."""
    path.write_bytes(content)
    try:
        read(path)
    except Corruption:
        return False
    recovers(path, kept, content[len(kept) :])
    return True


def test_a_flipped_bit_ends_every_verb_with_code_six_and_changes_nothing(finished, tmp_path, say):
    from forging import copy_with_workspace

    run = copy_with_workspace(finished, tmp_path)
    whole = run.log.read_bytes()
    run.log.write_bytes(flipped(whole, 4 * len(whole)))
    before = {path: path.read_bytes() for path in files.files_below(run.root)}
    for verb in ("status", "next", "run", "audit", "rebuild-state", "clean"):
        said = say(verb, run.root)
        assert (said.code, said.record["exit_code"]) == (6, 6), verb
        assert "of the log" in said.record["error"]["fact"]
    assert {path: path.read_bytes() for path in files.files_below(run.root)} == before
    run.log.write_bytes(whole)
    assert fold(files.read_json(run.plan), read(run.log)) == files.read_json(run.state)
