"""The loop's verbs in any order, from two terminals, with a runner that is stopped and killed between them.

After every step the log reads, holds all that it ever held, and folds into the state on disk; every answer is
one JSON record with the keys it always has, or an error of a known family; nothing is done unapproved.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from held_runner import HeldRunner
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from deft import files
from deft.cli.main import main
from deft.guard import approval
from deft.run.log import read
from deft.run.state import fold
from deft.workspace.layout import RunFolder, Workspace, state_home
from loop_fixtures import use_stub
from tiny_workspace import make_workspace
from verb_fixtures import sit_at_terminal

SIZES = {"train": (10, 1), "validation": (8, 1), "kpi": (12, 2), "holdout": (8, 1), "pool": (12, 3)}
TARGETS = ("FAR < 0.1% at recall = 100%", "FAR < 99% at recall = 100%")
DAY = 86400
SEQUENCES, STEPS = 30, 30
REFUSED = 4
ANSWERS = {
    "status": {"status", "run", "log", "next"},
    "run": {"status", "run", "log", "next"},
    "next": {"status", "next"},
    "stop": {"status", "next"},
    "approve": {"status", "run_id", "next"},
    "audit": {"status", "run", "checked", "stages", "audited", "not_checked"},
    "rebuild-state": {"status", "state", "lines"},
    "clean": {"status", "checkpoints", "bytes"},
    "spot-check": {"status", "proposed_corrections", "next"},
    "report": {"status"},
}
ERROR = {"status", "error", "exit_code"}
FAMILIES = (1, 2, 3, 4, 5, 6)
template: list[Path] = []


class Screen(io.StringIO):
    """What a terminal shows."""

    def isatty(self) -> bool:
        return True


class Answer:
    """What a verb said: its exit code and, where it says one, its JSON record."""

    def __init__(self, words: tuple[str, ...], code: int, out: str, err: str) -> None:
        self.words, self.code, self.err = words, code, err
        self.record: dict[str, Any] = {} if words[0] == "preflight" and code == 0 else json.loads(out)

    def check(self) -> None:
        assert "internal error" not in self.err, self.err
        assert "Traceback" not in self.err, self.err
        failed = self.record.get("status") == "error"
        if failed:
            assert set(self.record) >= ERROR
            assert self.record["exit_code"] == self.code
            assert self.code in FAMILIES
            assert self.record["error"]["hint"], self.record
        elif self.words[0] != "preflight":
            assert ANSWERS[self.words[0]] <= set(self.record), self.record
        assert (self.code != 0) == failed or self.words[0] == "run", self.record


class LoopVerbs(RuleBasedStateMachine):
    """One workspace, two terminals (the workspace's folder and the run's), one runner at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="model-"))
        self.patch = pytest.MonkeyPatch()
        for name in ("STATE", "CACHE"):
            self.patch.setenv(f"XDG_{name}_HOME", str(self.root / name.lower()))
        self.runner = HeldRunner()
        use_stub(self.patch, self.runner.stub)
        sit_at_terminal(self.patch)
        self.patch.setattr("deft.runner.render_report", lambda run: run.report)
        for module in ("deft.cli.running", "deft.runner"):
            self.patch.setattr(f"{module}.start_runner", self.runner.start)
        self.patch.setattr("os.kill", self.killed)
        self.patch.setattr("os.fsync", lambda descriptor: None)  # no power is lost here
        self.late, now = 0, approval.now
        self.patch.setattr(approval, "now", lambda: now() + self.late)
        self.written: dict[RunFolder, list[dict[str, Any]]] = {}
        self.approved: dict[str, tuple[str, int]] = {}

    @initialize()
    def begin(self) -> None:
        shutil.copytree(template[0], self.root / "workspace")
        self.workspace = Workspace((self.root / "workspace").resolve())
        spec = files.read_text(self.workspace.baseline_spec)
        files.write_text(
            self.workspace.baseline_spec, spec.replace(str(template[0]), str(self.workspace.root))
        )

    def teardown(self) -> None:
        if self.runner.alive:
            self.runner.kill()
        self.patch.undo()
        shutil.rmtree(self.root)

    def killed(self, pid: int, number: int) -> None:
        assert (pid, number) == (os.getpid(), signal.SIGTERM)
        self.runner.stop()

    def say(self, *words: object) -> Answer:
        """Call a verb as a shell does, and check the form of what it answers."""
        spoken = tuple(str(word) for word in words)
        out, err = Screen(), Screen()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main([*spoken, "--json"])
            except SystemExit as ending:
                code = int(ending.code or 0)
        answer = Answer(spoken, code, out.getvalue(), err.getvalue())
        answer.check()
        assert not (state_home() / "crashes").exists()
        return answer

    @property
    def runs(self) -> list[RunFolder]:
        return self.workspace.runs()

    def place(self, at_run: bool) -> Path:
        return self.runs[-1].root if at_run and self.runs else self.workspace.root

    @property
    def waiting(self) -> dict[str, Any] | None:
        return approval.pending_plan(str(self.workspace.root))

    def is_approved(self, plan: dict[str, Any]) -> bool:
        """Say whether the user's word holds for a plan; the same plan, made twice, is one plan."""
        digest, since = self.approved.get(plan["run_id"], ("", 0))
        return digest == approval.plan_sha256(plan) and self.late < since + approval.VALID_DAYS * DAY

    def has_run(self) -> bool:
        return bool(self.runs)

    def is_idle(self) -> bool:
        return self.has_run() and not self.runner.alive

    # --- the gate ----------------------------------------------------------------------------

    @rule(target_text=st.sampled_from(TARGETS), iterations=st.integers(1, 2), eyes=st.booleans())
    def preflight(self, target_text: str, iterations: int, eyes: bool) -> None:
        flag = "--spot-check" if eyes else "--no-spot-check"
        more = ("--target", target_text, "--max-iterations", iterations, flag)
        assert self.say("preflight", self.workspace.root, *more).code == 0

    @rule(word=st.sampled_from(["yes", "yes", "yes", "no", "yes, but 5 epochs", ""]))
    def approve(self, word: str) -> None:
        self.patch.setattr("click.prompt", lambda *words, **options: word)
        answer = self.say("approve", self.workspace.root)
        plan = self.waiting
        assert answer.code == (0 if plan and word == "yes" else REFUSED)
        if plan and answer.code == 0:
            self.approved[plan["run_id"]] = (approval.plan_sha256(plan), self.late)

    @rule(days=st.sampled_from([-1, 1, 8]))
    def time_passes(self, days: int) -> None:
        self.late += days * DAY

    @precondition(is_idle)
    @rule(what=st.sampled_from(["plan", "table", "approval"]))
    def what_was_agreed_to_changes(self, what: str) -> None:
        """Change the plan, an input or the approval, see every verb with an effect refuse, change it back."""
        run = self.runs[-1]
        path = {"plan": run.plan, "table": self.workspace.kpi_table, "approval": run.approval}[what]
        before = path.read_bytes()
        old, new = (b"demo", b"damo") if what == "approval" else (b"max_iterations", b"max_iteration5")
        path.write_bytes(before + b"\n" if what == "table" else before.replace(old, new, 1))
        if path.read_bytes() == before:
            path.write_bytes(before.replace(b"terminal", b"user", 1))
        log = run.log.read_bytes()
        answer = self.say("run", run.root, "--wait", 0)
        assert answer.code == REFUSED or not self.has_work(run)
        if what != "table":
            assert self.say("clean", run.root, "--yes").code == REFUSED
        assert run.log.read_bytes() == log
        path.write_bytes(before)

    def has_work(self, run: RunFolder) -> bool:
        return all(entry["stage"] != "loop_stop" for entry in read(run.log))

    # --- the run -----------------------------------------------------------------------------

    @rule(at_run=st.booleans(), eyes=st.booleans())
    def run_verb(self, at_run: bool, eyes: bool) -> None:
        known, place = len(self.runs), self.place(at_run)
        plan = self.waiting if place == self.workspace.root else None
        until = ("--until", "judgement") if eyes else ()
        answer = self.say("run", place, "--wait", 0, *until)
        if plan is not None and not self.is_approved(plan):
            assert answer.code == REFUSED
        elif plan is not None:
            assert len(self.runs) == known + 1
        elif not known:
            assert answer.code == REFUSED
        if answer.code == 0 and plan is None:
            assert len(self.runs) == known
        assert self.runner.alive or answer.record["status"] != "running"

    @precondition(lambda self: self.runner.alive)
    @rule(calls=st.integers(1, 8))
    def work_goes_on(self, calls: int) -> None:
        for _ in range(calls):
            if self.runner.alive:
                self.runner.advance()

    @precondition(lambda self: self.runner.alive)
    @rule()
    def the_runner_is_killed(self) -> None:
        self.runner.kill()

    @precondition(has_run)
    @rule(at_run=st.booleans())
    def stop(self, at_run: bool) -> None:
        if self.runner.alive and self.runner.run != self.runs[-1]:
            return
        alive = self.runner.alive
        answer = self.say("stop", self.place(at_run))
        assert answer.record["status"] == ("stopped" if alive else "not running")
        assert not self.runner.alive

    @precondition(has_run)
    @rule(verb=st.sampled_from(["status", "next", "rebuild-state"]), at_run=st.booleans())
    def look(self, verb: str, at_run: bool) -> None:
        answer = self.say(verb, self.place(at_run))
        assert answer.code == 0
        if verb == "status" and self.runner.run == self.runs[-1]:
            assert answer.record["status"] == "running"

    @precondition(has_run)
    @rule(right=st.booleans())
    def spot_check(self, right: bool) -> None:
        waiting = self.say("status", self.runs[-1].root).record
        images = waiting.get("images", [])
        count = images if isinstance(images, int) else len(images)
        verdicts = [f"{number}=edge case" for number in range(1, count + 1 if right else count)]
        answer = self.say("spot-check", self.runs[-1].root, *verdicts)
        if waiting["status"] == "judgement" and right:
            assert answer.code == 0
        else:
            assert answer.code in (2, REFUSED)

    @precondition(has_run)
    @rule(really=st.booleans())
    def clean(self, really: bool) -> None:
        answer = self.say("clean", self.runs[-1].root, *(["--yes"] if really else []))
        assert answer.code == (REFUSED if self.runner.run == self.runs[-1] else 0)

    @precondition(has_run)
    @rule()
    def report(self) -> None:
        self.say("report", self.runs[-1].root)

    # --- damage ------------------------------------------------------------------------------

    @precondition(is_idle)
    @rule(torn=st.sampled_from([b'{"seq": 7, "ts": "20', b"\0" * 100, b"\0" * 10 + b"\n"]))
    def the_log_is_torn(self, torn: bytes) -> None:
        with open(self.runs[-1].log, "ab") as stream:
            stream.write(torn)

    @precondition(is_idle)
    @rule(content=st.sampled_from([b"", b"{", b'{"version": 3}']))
    def the_state_is_lost(self, content: bytes) -> None:
        """Lose the state: it is a fold of the log, and one verb brings it back to the byte."""
        run = self.runs[-1]
        before = run.state.read_bytes()
        run.state.write_bytes(content)
        assert self.say("status", run.root).code == 0
        assert self.say("rebuild-state", run.root).code == 0
        assert run.state.read_bytes() == before

    @precondition(is_idle)
    @rule(lie=st.booleans())
    def audit(self, lie: bool) -> None:
        """Audit a run; where a figure was changed on disk before, the audit names it."""
        run = self.runs[-1]
        figures = sorted(run.root.glob("*/inference/best_val/inference.csv"))
        if not lie or not figures:
            assert self.say("audit", run.root).code == 0
            return
        before = figures[-1].read_bytes()
        figures[-1].write_bytes(before.replace(b",0.", b",1.", 1))
        answer = self.say("audit", run.root)
        assert answer.code == 6
        assert "inference" in answer.record["error"]["fact"] + answer.record["error"]["value"]
        figures[-1].write_bytes(before)

    # --- what always holds -------------------------------------------------------------------

    @invariant()
    def nothing_happened_unapproved(self) -> None:
        for run in self.runs if hasattr(self, "workspace") else []:
            assert read(run.log)[0]["kind"] == "approval"

    @invariant()
    def the_log_keeps_what_it_had_and_folds_into_the_state(self) -> None:
        for run in self.runs if hasattr(self, "workspace") else []:
            entries = read(run.log)
            had = self.written.get(run, [])
            assert entries[: len(had)] == had
            self.written[run] = entries
            assert files.read_json(run.state) == fold(files.read_json(run.plan), entries)


def explore(tmp_path: Path, examples: int, steps: int) -> None:
    template[:] = [make_workspace(tmp_path / "template", sizes=SIZES, pairs=3).root]
    run_state_machine_as_test(
        LoopVerbs,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],  # thirty steps tell enough; to shorten them takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(400)
def test_the_verbs_of_the_loop_keep_their_promises_in_any_order(tmp_path: Path, figure: Callable[..., None]):
    explore(tmp_path, SEQUENCES, STEPS)
    figure(
        "the loop's verbs in any order (hypothesis): two terminals, kills, stops, late or wrong approvals",
        "no uncaught exception, log and state agree",
        f"{SEQUENCES} sequences of up to {STEPS} steps, none",
    )


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_the_verbs_of_the_loop_keep_their_promises_in_many_orders(tmp_path: Path):
    explore(tmp_path, examples=1000, steps=50)
