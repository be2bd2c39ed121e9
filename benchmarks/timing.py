"""Time functions in turn, A B A B, in one process, and print each time and the ratio pair by pair."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Seconds = list[float]
Clock = Callable[[], float]
"""`time.process_time` with one thread compares work fairly on a machine that does other work too."""


def seconds_of(work: Callable[[], Any], clock: Clock = time.perf_counter) -> float:
    """Return how long one call takes by a clock."""
    started = clock()
    work()
    return clock() - started


def in_turn(
    works: dict[str, Callable[[], Any]], repeats: int, clock: Clock = time.perf_counter
) -> dict[str, Seconds]:
    """Return the times of each piece of work, carried out in turn so that drift meets all alike."""
    times: dict[str, Seconds] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            times[name].append(seconds_of(work, clock))
    return times


def spread(values: Seconds, digits: int = 3) -> str:
    """Return median, least and most."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def print_times(times: dict[str, Seconds], ours: str) -> None:
    """Print a table: seconds of each, and how many times ours each of the others took."""
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; median (least–most)\n")
    print("| what | seconds | times ours, pair by pair |\n|---|---|---|")
    for name, values in times.items():
        ratios = [value / mine for value, mine in zip(values, times[ours], strict=True)]
        print(f"| {name} | {spread(values)} | {spread(ratios, 2) if name != ours else ''} |")


def peak_mebibytes() -> int:
    """Return the largest resident size of this process so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024  # ru_maxrss counts the parent's as well
