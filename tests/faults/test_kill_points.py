"""SIGKILL at every system call of a whole run, as SQLite's tests fail the n-th operation for every n.

A killed run is resumed with no step by hand, and must then be, byte for byte and apart from its listed
times, the run that nobody killed: up to the end of the interrupted segment for every point (from there it is
the same deterministic run from the same bytes, so the rest follows by induction), to the very end for some.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from crash_server import Warm

PHASES = ("baseline", "iter1", "iter2", "iter3")
Figure = Callable[[str, str, str], None]

pytestmark = pytest.mark.timeout(1200)


def test_nothing_that_a_run_writes_passes_by_the_shim(warm: Warm, figure: Figure) -> None:
    """ALICE's first step: the trace is complete if replaying it makes the very tree that is on disk."""
    facts = warm.ask("facts")
    assert warm.ask("unseen") == []
    assert facts["kill_points"] >= 2000
    assert facts["errno_points"] >= 1500
    figure(
        "system calls of a recorded 3-iteration run",
        "all that write, sync or name a file",
        f"{facts['calls']:,}: {facts['write']} writes, {facts['fsync']} fsyncs, {facts['rename']} renames; "
        f"{facts['kill_points']:,} kill points, {facts['errno_points']:,} errno points",
    )


@pytest.mark.parametrize("phase", PHASES)
def test_a_run_killed_at_any_call_resumes_to_the_same_bytes(warm: Warm, figure: Figure, phase: str) -> None:
    """SQLite's Nth-operation loop: before every call; in a write after 0, 1, half, all but 1, all bytes."""
    found = warm.ask("kills", phase=phase, every=50)
    assert found.faults == []
    figure(
        f"SIGKILL at every system call x 5 torn lengths, {phase}",
        "0 failures, 0 steps by hand",
        f"{found.points:,} points, {found.resumed:,} distinct disks resumed ({found.to_the_end} to the very "
        f"end), {len(found.faults)} failures",
    )


@pytest.mark.parametrize("verb", ["opening a run", "deft clean", "deft rebuild-state"])
def test_a_verb_killed_at_any_call_can_be_repeated(warm: Warm, figure: Figure, verb: str) -> None:
    """etcd's failpoints around each commit step: whatever was done, doing it again ends the same."""
    found = warm.ask("verb_kills", verb=verb)
    assert found.faults == []
    assert found.points > 5
    figure(f"SIGKILL at every system call of {verb}", "0 failures", f"{found.points} points, 0 failures")


def test_a_holder_of_the_run_killed_at_any_call_leaves_it_free(warm: Warm, figure: Figure) -> None:
    """The lesson of DVC, Snakemake and Nextflow, whose lock files outlive their process: a kernel lock."""
    found = warm.ask("lock_kills")
    assert found.faults == []
    assert found.points > 5
    figure("SIGKILL at every system call of the run's lock", "0 to unlock", f"{found.points} points, 0 held")


@pytest.mark.long
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_killed_at_any_call_resumes_to_the_very_end(warm: Warm, phase: str) -> None:
    """The same without the induction: each resumed run does all the rest."""
    assert warm.ask("kills", phase=phase, every=1).faults == []
