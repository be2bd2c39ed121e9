"""A run that is killed (-9) at random moments, again and again, ends as one that never was.

A moment is a number of calls and returns of functions, drawn from a seed: the same moments each time.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from killed_runs import KilledRun

from loop_children import run_and_count

LONGEST_LIFE = 6  # as a part of what an undisturbed run takes


def kill_at_random(killed: KilledRun, wanted: int, seed: int) -> tuple[int, int]:
    """Kill runs until `wanted` kills are done, each time comparing what is left; return kills and runs."""
    draw = random.Random(seed)
    kills = runs = 0
    while kills < wanted:
        killed.restore()
        runs += 1
        while killed.go_on(run_and_count, draw.randint(1, killed.calls // LONGEST_LIFE), str(killed.counted)):
            kills += 1
        assert killed.differences() == [], f"run {runs} of seed {seed}"
    return kills, runs


def state_figure(figure, kills: int, runs: int, wanted: int) -> None:
    figure(
        "kill -9 at random moments (seeded)",
        f">= {wanted}, 0 manual steps, tree equal",
        f"{kills} kills in {runs} runs of 3 iterations, every tree equal",
    )


@pytest.mark.timeout(300)
def test_a_run_killed_at_fifty_random_moments_ends_as_if_it_never_had_been(tmp_path: Path, figure):
    kills, runs = kill_at_random(KilledRun(tmp_path), 50, seed=4)
    assert kills >= 50
    state_figure(figure, kills, runs, 50)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_run_killed_at_five_hundred_random_moments_ends_as_if_it_never_had_been(tmp_path: Path, figure):
    kills, runs = kill_at_random(KilledRun(tmp_path), 500, seed=5)
    state_figure(figure, kills, runs, 500)
