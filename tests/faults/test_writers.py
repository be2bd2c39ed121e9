"""Eight processes that append to one log at once: nothing lost or doubled, no append dearer than before.

What an append costs is counted by the kernel (`/proc/self/io`) and by its own calls, never timed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from deft.run.log import LoopLog, read
from loop_children import child

WRITERS, APPENDS = 8, 1_000
SPAN = 1_000
COUNTED = ("write", "fsync", "ftruncate", "lseek", "fstat")
NOTE = {"iter": "baseline", "stage": "remark", "status": "ok", "kind": "note"}
ALLOWED_GROWTH = 1.5


class Counter:
    """Counts what an append asks of the kernel, without the lock, which is polled as others let it."""

    def __init__(self) -> None:
        self.calls = 0
        for name in COUNTED:
            setattr(os, name, self._counting(getattr(os, name)))

    def _counting(self, function: Any) -> Any:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            return function(*arguments, **options)

        return counted

    @staticmethod
    def bytes_read() -> int:
        descriptor = os.open("/proc/self/io", os.O_RDONLY)
        try:
            return int(os.read(descriptor, 64).split()[1])
        finally:
            os.close(descriptor)


def append_many(path: str, writer: int, together: Any, costs: str) -> None:
    """Append in a process of its own, all starting together, and leave `[seq, bytes read, calls]` of each."""
    log, counter, found = LoopLog(Path(path)), Counter(), []
    together.wait()
    for number in range(APPENDS):
        read_before, calls_before = counter.bytes_read(), counter.calls
        entry = log.append({**NOTE, "summary": f"{writer}:{number}"})
        cost = (counter.bytes_read() - read_before, counter.calls - calls_before)
        found.append([entry["seq"], *cost])
    Path(costs).write_text(json.dumps(found))


def mean(costs: list[list[int]], column: int) -> float:
    return sum(cost[column] for cost in costs) / len(costs)


@pytest.mark.timeout(300)
def test_eight_processes_lose_and_double_nothing_and_the_last_append_costs_as_the_first(tmp_path, figure):
    path = tmp_path / "loop_log.jsonl"
    places = [tmp_path / f"costs{number}.json" for number in range(WRITERS)]
    together = multiprocessing.get_context("forkserver").Barrier(WRITERS)
    writers = [
        child(append_many, str(path), number, together, str(places[number])) for number in range(WRITERS)
    ]
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * WRITERS

    entries = read(path)
    assert [entry["seq"] for entry in entries] == list(range(1, WRITERS * APPENDS + 1))
    wanted = {f"{writer}:{number}" for writer in range(WRITERS) for number in range(APPENDS)}
    assert len(entries) == len(wanted)
    assert {entry["summary"] for entry in entries} == wanted

    costs = sorted(cost for place in places for cost in json.loads(place.read_text()))
    assert [cost[0] for cost in costs] == [entry["seq"] for entry in entries]
    first, last = costs[:SPAN], costs[-SPAN:]
    assert mean(last, 1) <= ALLOWED_GROWTH * mean(first, 1)
    assert mean(last, 2) <= ALLOWED_GROWTH * mean(first, 2)
    figure(
        f"{WRITERS} processes x {APPENDS:,} appends",
        f"{WRITERS * APPENDS:,} lines, none lost or doubled, cost flat",
        f"{len(entries):,} lines; first and last {SPAN:,}: "
        f"{mean(first, 1):,.0f} and {mean(last, 1):,.0f} bytes read, "
        f"{mean(first, 2):.1f} and {mean(last, 2):.1f} calls each",
    )
