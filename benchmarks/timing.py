"""Time functions in turn, A B A B, in one process, and print each time and the ratio pair by pair."""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

Seconds = list[float]


def seconds_of(work: Callable[[], Any]) -> float:
    """Return how long one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turn(works: dict[str, Callable[[], Any]], repeats: int) -> dict[str, Seconds]:
    """Return the times of each piece of work, carried out in turn so that drift meets all alike."""
    times: dict[str, Seconds] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            times[name].append(seconds_of(work))
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
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
