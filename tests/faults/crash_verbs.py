"""Walks through what is no part of the loop: opening a run, `deft clean`, `deft rebuild-state`."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crash_trees import Disk, Told, Tree, differences
from crash_walks import Findings, Kills, Part, Reference, Walker, in_child, leave_the_walk, nobodys_locks
from syscalls import Call, Shim, installed

from deft.run.lock import RunLock, holder

TEMPORARY = re.compile(r"(^|/)\.[^/]*\.tmp$")
KEY = b"drawn at random, once a user"
TIMES = re.compile(
    rb'"(hmac|decided_at|expires_at|saved_at|ts|started_at|sha256|prev|seconds)": ?("[^"]*"|[0-9.]+)'
)


class VerbKills(Walker):
    """SIGKILL at every call of a verb; then the verb again, which must end as if it never had been killed."""

    def __init__(
        self,
        name: str,
        root: Path,
        start: Tree,
        work: Callable[[], Any],
        again: Callable[[], Any],
        run: str = "",
    ) -> None:
        self.run = run
        self.verb, self.work, self.again, self.root = name, work, again, root
        self.disk, self.findings, self.seen = Disk(root), Findings(), set()
        self.start, self.number, self.end, self.started = start, 0, {}, False

    @property
    def name(self) -> str:
        return self.verb

    def walk(self) -> Findings:
        """Do the verb once undisturbed, then walk through it; leave the folder as it was."""
        before = self.disk.scan()
        try:
            self.disk.restore(self.start)
            code, told = in_child(self._undisturbed)
            self.end = self.disk.scan()
            self.disk.restore(self.start)
            found: Any = told if code else in_child(self._walk)[1]
        finally:
            self.disk.restore(before)
        return found if isinstance(found, Findings) else Findings(faults=[f"{self.verb}: {found}"])

    def _undisturbed(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self.work()

    def _walk(self) -> Findings:
        nobodys_locks()
        with installed(Shim(self.root, before=self._before)), contextlib.redirect_stdout(io.StringIO()):
            self.work()
        return self.findings

    def _before(self, number: int, call: Call, part: Part) -> None:
        if self.started:
            return
        self.started = True  # what happens below belongs to no walk
        self.number += 1
        Kills.visit(self, call, part)  # type: ignore[arg-type]
        self.started = False

    def resume(self, what: str, key: object) -> None:
        if hash(key) in self.seen:
            return
        self.seen.add(hash(key))
        self.findings.resumed += 1
        code, told = in_child(self._again)
        found = self.disk.scan()
        if code:
            self.findings.faults.append(f"{what}: again failed: {told}")
            return
        left, right = plain(found, self.run), plain(self.end, self.run)
        names = sorted(name for name in {*left, *right} if left.get(name, 0) != right.get(name, 0))
        wanted = Told(of_the_run(self.end, self.run))
        names += [
            name
            for name in differences(of_the_run(found, self.run), wanted, ended=True)
            if not _same_but_for_times(found, self.end, f"{self.run}/{name}")
        ]
        if names:
            self.findings.faults.append(f"{what}: differs in {names[:5]}")

    def _again(self) -> None:
        leave_the_walk()
        with contextlib.redirect_stdout(io.StringIO()):
            self.again()


def plain(tree: Tree, run: str) -> dict[str, object]:
    """Return what is outside the run, without times and without temporary files."""
    return {
        path: None if content is None else TIMES.sub(b"", KEY if path.endswith("/key") else content)
        for path, content in tree.items()
        if not TEMPORARY.search(path) and not _inside(path, run)
    }


def _same_but_for_times(found: Tree, wanted: Tree, path: str) -> bool:
    """Compare an approval, whose time and signature are those of the moment when it was given."""
    left, right = found.get(path), wanted.get(path)
    return left is not None and right is not None and TIMES.sub(b"", left) == TIMES.sub(b"", right)


def _inside(path: str, run: str) -> bool:
    return not run or path.startswith(f"{run}/")


def of_the_run(tree: Tree, run: str) -> Tree:
    """Return the run's own part of a tree; what a killed writer left there is removed by the next start."""
    prefix = len(run) + 1 if run else 0
    return {
        path[prefix:]: content
        for path, content in tree.items()
        if _inside(path, run) and not TEMPORARY.search(path)
    }


def opening(reference: Reference) -> VerbKills:
    """Walk from the plan that is kept to the run that is open, as preflight, approve and run do it."""
    from deft import files
    from deft.guard import approval
    from deft.run.gate import approve, open_run, pending_run, save_pending
    from deft.workspace.layout import RunFolder, Workspace

    run: RunFolder = reference.run
    workspace = Workspace(run.workspace.root)
    plan = files.read_json(run.plan)
    start = {
        path: content
        for path, content in Disk(reference.root).scan().items()
        if not path.startswith(("workspace/results", "state/deft/plans", "state/deft/pending"))
        and not path.startswith(("state/deft/approvals", "state/deft/key", "state/deft/drawn"))
    }

    def work() -> None:
        from deft.run.gate import remember_drawn

        save_pending(plan)
        remember_drawn(workspace)
        approve(workspace, by="demo")
        open_run(workspace)

    def again() -> None:
        from deft.run.gate import remember_drawn

        if not run.state.is_file() and pending_run(workspace) is None:
            save_pending(plan)
        remember_drawn(workspace)
        if pending_run(workspace) is not None:
            if approval.decision_on(plan) is None:
                approve(workspace, by="demo")
            open_run(workspace)

    inside = run.root.relative_to(reference.root).as_posix()
    return VerbKills("opening a run", reference.root, start, work, again, inside)


def lock_kills(reference: Reference) -> Findings:
    """Kill, at each call, a process that takes and leaves the run's kernel lock; the next must get it."""
    found = Findings()
    lock = RunLock(reference.run)

    def hold_and_die(last: int) -> None:
        def before(number: int, call: Call, part: Part) -> None:
            if number == last:
                os.kill(os.getpid(), signal.SIGKILL)

        with installed(Shim(reference.run.root, before=before)), lock:
            pass

    def hold() -> None:
        with lock:
            assert holder(reference.run) is not None

    while in_child(lambda: hold_and_die(found.points))[0] == -signal.SIGKILL:
        if holder(reference.run) is not None:
            found.faults.append(f"killed at call {found.points}: its record still counts")
        found.points += 1
        code, told = in_child(hold)
        if code:
            found.faults.append(f"killed at call {found.points - 1}: {told}")
    return found


def cleaning(reference: Reference) -> VerbKills:
    """Walk through `deft clean --yes` on the finished run."""
    from deft.cli.main import main

    def clean() -> None:
        code = main(["clean", str(reference.run.root), "--yes"])
        assert code == 0, code

    return VerbKills("deft clean", reference.run.root, reference.trees[-1], clean, clean)


def rebuilding(reference: Reference) -> VerbKills:
    """Walk through `deft rebuild-state` on a run whose state is gone."""
    from deft.cli.main import main

    start = {path: content for path, content in reference.trees[-1].items() if path != "deft_state.json"}

    def rebuild() -> None:
        code = main(["rebuild-state", str(reference.run.root)])
        assert code == 0, code

    return VerbKills("deft rebuild-state", reference.run.root, start, rebuild, rebuild)
