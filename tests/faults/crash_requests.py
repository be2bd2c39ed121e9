"""What the warm process can be asked: each function takes the recorded run first."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Any

import crash_verbs
import pytest
from crash_errnos import Errnos
from crash_trees import Disk, Told, differences
from crash_verbs import cleaning, opening, rebuilding
from crash_walks import Findings, Kills, Reference, in_child, record, resumed, torn_lengths
from durability_scenarios import Recorded, all_recorded
from durability_sites import Site, passes, sites, without
from power_model import Machine, Tree, present_below
from power_promises import Checker, each, enumerate_disks

VERBS = {"opening a run": opening, "deft clean": cleaning, "deft rebuild-state": rebuilding}


def prepare(base: Path) -> Reference:
    """Record the run in a folder of its own."""
    root = base / "recorded"
    root.mkdir()
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "HOME"):
        os.environ[name] = str(root / "state")
    return record(root)


def _segments(reference: Reference, phase: str) -> list[int]:
    """Return the segments whose work belongs to a phase."""
    return [number for number in range(len(reference.begins)) if phase_of(reference, number) == phase]


def phase_of(reference: Reference, number: int) -> str:
    """Return the phase that a segment works for: that of the line it ends with."""
    names = [*reference.names[1:], reference.names[-1]]
    return names[number].partition("/")[0]


def facts(reference: Reference) -> dict[str, int]:
    """Count the calls of the trace, and the points that follow from it."""
    calls = [call for call in reference.calls if not call.failed]
    kinds = Counter(call.kind for call in calls)
    loop = [call for call in reference.calls[reference.begins[0] :] if not call.failed]
    return {
        "calls": len(calls),
        "refused": len(reference.calls) - len(calls),
        **kinds,
        "kill_points": sum(len(torn_lengths(call)) for call in loop),
        "errno_points": 4 * len(loop),
    }


def unseen(reference: Reference) -> list[str]:
    """Return the files in which the replayed trace differs from the disk: what passed by the shim."""
    machine = Machine(str(reference.root), present=reference.present)
    for call in reference.calls:
        machine.do(call)
    root = reference.run.root.relative_to(reference.root)
    replayed = {path: content for path, content in machine.seen.tree().items()}
    run = {f"{root}/{path}": content for path, content in reference.trees[-1].items()}
    outside = {
        path: content
        for path, content in present_below(str(reference.root)).items()
        if not path.startswith(f"{root}/")
    }
    wanted = {**outside, **run}
    return sorted(path for path in {*replayed, *wanted} if replayed.get(path, 0) != wanted.get(path, 0))


def kills(reference: Reference, phase: str, every: int = 0) -> Findings:
    """Kill at every call of a phase."""
    found = Findings()
    for number in _segments(reference, phase):
        found = found.add(Kills(reference, number, every=every).walk())
    return found


def errnos(reference: Reference, phase: str, every: int = 0) -> Findings:
    """Refuse every call of a phase."""
    found = Findings()
    for number in _segments(reference, phase):
        found = found.add(Errnos(reference, number, every=every).walk())
    return found


def verb_kills(reference: Reference, verb: str) -> Findings:
    """Kill at every call of a verb."""
    return VERBS[verb](reference).walk()


def lock_kills(reference: Reference) -> Findings:
    """Kill whoever takes and leaves the run's lock, at every call."""
    return crash_verbs.lock_kills(reference)


def power_loss(reference: Reference, resume_every: int) -> dict[str, Any]:
    """Judge every disk that a power loss may leave of the run, and resume from some."""
    scratch = reference.root.parent / "scratch"
    checker = Checker(
        str(reference.root), reference.calls, reference.acknowledged, scratch, present=reference.present
    )
    found = enumerate_disks(checker, each(reference.calls), keep_every=resume_every)
    faults = []
    run = reference.run.root.relative_to(reference.root).as_posix() + "/"
    resumed_from = 0
    disk = Disk(reference.run.root)
    for position, tree in found.kept:
        if position <= reference.begins[1]:
            continue  # before the loop there is nothing to resume: `opening` has its own walk
        resumed_from += 1
        faults += _resume_from(reference, disk, position, {
            path[len(run) :]: content for path, content in tree.items() if path.startswith(run)
        })  # fmt: skip
    return {"states": found.states, "violations": found.violations, "resumed": resumed_from, "faults": faults}


def _resume_from(reference: Reference, disk: Disk, position: int, tree: Tree) -> list[str]:
    """Resume from one disk up to the end of the interrupted segment, and compare."""
    segment = bisect_right(reference.begins, position - 1) - 1
    disk.restore(tree)
    code, told = in_child(lambda: resumed(reference, segment + 1, to_the_end=False))
    if code or told is not None:
        return [f"power loss after call {position - 1}: resume failed: {told}"]
    last = segment == len(reference.begins) - 1
    names = differences(disk.scan(), Told(reference.trees[segment + 1]), ended=last)
    return [f"power loss after call {position - 1}: differs in {names[:5]}"] if names else []


def mutants(reference: Reference) -> dict[str, str]:
    """Take every site out of the traces that pass it, one at a time; return what caught it, or nothing."""
    base = reference.root.parent
    run = Recorded("run", reference.root, reference.calls, reference.present, reference.acknowledged)
    traces = [*_recorded_apart(base, "scenarios"), run]
    return {str(site): _caught(site, traces, base / "scratch") for site in sites()}


def _recorded_apart(base: Path, name: str) -> list[Recorded]:
    """Record every scenario with a state of its own: its approvals are none of the run's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(base / f"{name}-state"))
        return [*all_recorded(base / name)]


def _caught(site: Site, traces: list[Recorded], scratch: Path) -> str:
    for trace in traces:
        if any(passes(site, call) for call in trace.calls):
            checker = trace.checker(scratch)
            mutant = without(site, trace.calls, checker.machine)
            found = enumerate_disks(checker, mutant, first_only=True)
            if found.violations:
                return f"{trace.name}: {found.violations[0]}"
    return ""


def scenarios(reference: Reference) -> dict[str, list[str]]:
    """Judge the disks of every scenario as the package is."""
    base = reference.root.parent
    return {
        trace.name: enumerate_disks(trace.checker(base / "scratch"), each(trace.calls)).violations
        for trace in _recorded_apart(base, "whole")
    }
