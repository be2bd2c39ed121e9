"""The detached runner: a process of its own that outlives the terminal, and the ways to join and stop it.

`deft run` starts or joins it; the run's kernel lock makes sure there is only one. Its last word is in
`.runner/outcome.json`; while it works, `.runner/progress.json` says how far it is.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deft import files
from deft.errors import DeftError, RunBusy, StageFailed, StateConflict, storage_fault
from deft.guard.redaction import redacted
from deft.loop import COMPLETE, run_loop
from deft.platforms.registry import platform_named
from deft.progress import FileProgress, read_progress
from deft.report.render import render_report
from deft.run.lock import Holder, RunLock, holder
from deft.run.log import read, utc_now
from deft.run.transitions import next_stage
from deft.untrusted import LONGEST_FACT, untrusted, visible
from deft.workspace.layout import RunFolder, Workspace

RUNNING, FAILED, STOPPED = "running", "failed", "stopped"
POLL_SECONDS = 0.2
START_SECONDS = 20.0
STOP_SECONDS = 45.0  # more than any platform gives a container or a job for its checkpoint
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
SOURCE = str(Path(__file__).resolve().parents[1])
Record = dict[str, Any]


class StopRequested(BaseException):
    """The runner was asked to end; a base exception, so that no stage records it as its failure."""


def start_runner(run: RunFolder, *, until_judgement: bool) -> None:
    """Start the runner in a session of its own, unless one already works on the run."""
    if holder(run) is not None:
        return
    files.make_folder(run.runner)
    _outcome_path(run).unlink(missing_ok=True)
    with open(run.runner / "output.log", "ab") as output:
        child = subprocess.Popen(
            runner_command(run, until_judgement),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": SOURCE},
        )
    _await_start(run, child)


def runner_command(run: RunFolder, until_judgement: bool) -> list[str]:
    """Return the command line of a run's runner."""
    command = [sys.executable, "-m", "deft.runner", str(run.root)]
    return [*command, "--until-judgement"] if until_judgement else command


def _await_start(run: RunFolder, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if holder(run) is not None or _outcome_path(run).is_file():
            return
        if child.poll() is not None:
            break
        time.sleep(POLL_SECONDS / 4)
    if not _outcome_path(run).is_file() and holder(run) is None:
        raise StageFailed("runner did not start", value=run.root, hint=f"read {run.runner / 'output.log'}")


def join_runner(run: RunFolder, *, wait_seconds: float | None) -> Record:
    """Wait for the runner to end, at most `wait_seconds`; return its outcome, or that it is running.

    Where it left no last word, one is left for it: a disk that takes none then fails here, by its name.
    """
    deadline = None if wait_seconds is None else time.monotonic() + wait_seconds
    while holder(run) is not None:
        if deadline is not None and time.monotonic() >= deadline:
            return {"status": RUNNING, **progress_of(run)}
        time.sleep(POLL_SECONDS)
    if not _outcome_path(run).is_file():
        files.write_json(_outcome_path(run), outcome_of(run))
    return outcome_of(run)


def outcome_of(run: RunFolder) -> Record:
    """Return the last word of the runner; one that was killed left none and may be started again.

    A run whose log is complete is so, whether its runner could still say it or not.
    """
    if _outcome_path(run).is_file():
        record: Record = files.read_json(_outcome_path(run))
        return record
    if run.plan.is_file() and next_stage(read(run.log), files.read_json(run.plan)) is None:
        return {"status": COMPLETE}
    return {"status": STOPPED, "reason": "the runner was killed", "exit_code": StageFailed.exit_code}


def progress_of(run: RunFolder) -> Record:
    """Return what the runner is doing, as far as it has said."""
    return read_progress(run.runner / "progress.json") or {}


def stop_runner(run: RunFolder) -> bool:
    """Ask the runner to end (a training writes its checkpoint first) and wait for it; False if none ran."""
    found = holder(run)
    if found is None:
        return False
    _require_runner(run, found)
    os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while holder(run) is not None:
        if time.monotonic() > deadline:
            fact = f"runner did not end within {STOP_SECONDS:.0f} seconds"
            raise StageFailed(fact, value=f"pid {found.pid}", hint=f"{_status_command(run)}, then stop again")
        time.sleep(POLL_SECONDS)
    return True


def end_left_work(run: RunFolder) -> list[str]:
    """End what a killed runner left at work on the run's platform; return the names of what was ended.

    Raises StateConflict for a copy of a run: its plan names the work of the original.
    """
    plan = files.read_json(run.plan)
    _require_own(run, plan)
    if not run.runner.is_dir():  # no runner ever held the run
        return []
    with RunLock(run):
        files.write_json(_ending_path(run), asdict(holder(run) or Holder.this_process()))
        try:
            return platform_named(plan["platform"], plan.get("platform_settings")).end(run)
        finally:
            _ending_path(run).unlink(missing_ok=True)


def _require_own(run: RunFolder, plan: Record) -> None:
    original = Workspace(Path(plan["workspace"])).results / plan["run_id"]
    if os.path.realpath(original) == os.path.realpath(run.root):
        return
    raise StateConflict(
        "run is a copy, and what is at work belongs to the original",
        value=run.root,
        hint=f"deft stop {shlex.quote(str(original))}",
    )


def _require_runner(run: RunFolder, found: Holder) -> None:
    """Refuse to end another `deft stop`: it holds the run while it ends what a killed runner left."""
    try:
        ending = files.read_json(_ending_path(run))
    except (DeftError, OSError):
        return
    if ending == asdict(found):
        fact = "another deft stop is ending what the run left"
        raise RunBusy(fact, value=f"pid {found.pid}", hint=_status_command(run))


def _ending_path(run: RunFolder) -> Path:
    return run.runner / "ending.json"


def _status_command(run: RunFolder) -> str:
    return f"deft status {shlex.quote(str(run.root))}"


def _outcome_path(run: RunFolder) -> Path:
    return run.runner / "outcome.json"


# --- inside the runner ---------------------------------------------------------------------------


def work(run: RunFolder, *, until_judgement: bool) -> Record:
    """Hold the run, do the loop, render the report after every stage, and leave the last word."""
    with RunLock(run):
        files.remove_temporaries(run.root, spare_living=True)
        outcome = _work_locked(run, until_judgement)
        try:
            files.write_json(_outcome_path(run), {**outcome, "ended_at": utc_now().strftime("%FT%TZ")})
        except OSError as error:  # a disk that takes no last word fails whoever waits for it, too
            print(f"the last word cannot be written: {error}", file=sys.stderr)  # noqa: T201 - output.log
        (run.runner / "progress.json").unlink(missing_ok=True)
    return outcome


def _work_locked(run: RunFolder, until_judgement: bool) -> Record:
    progress = FileProgress(run.runner / "progress.json")
    try:
        ended = run_loop(
            run,
            progress,
            until_judgement=until_judgement,
            after_stage=lambda state: _render(run),
        )
        _render(run)
    except StopRequested:
        return {"status": STOPPED, "reason": "asked to stop"}
    except DeftError as error:
        return _failure(error, run)
    except Exception as error:  # noqa: BLE001 - the last word must be written whatever happened
        fault = storage_fault(error) if isinstance(error, OSError) else None
        return _failure(fault or _unforeseen(error, run), run)
    return {"status": ended}


def _unforeseen(error: Exception, run: RunFolder) -> StageFailed:
    traceback.print_exc()
    return StageFailed(f"{type(error).__name__}: {error}", value=run.root, hint=_log_hint(run))


def _failure(error: DeftError, run: RunFolder) -> Record:
    fact, value = (redacted(str(part or ""), str(run.root)) for part in (error.fact, error.value))
    parts = {"fact": untrusted(fact, LONGEST_FACT), "value": untrusted(value), "hint": visible(error.hint)}
    return {"status": FAILED, "exit_code": error.exit_code, "error": parts}


def _render(run: RunFolder) -> None:
    """Render the report; a report that cannot be drawn must not end a run, but a disk that fails must."""
    try:
        render_report(run)
    except Exception as error:  # the figures are on disk and in the log, the page can be drawn again
        if isinstance(error, OSError) and storage_fault(error):
            raise
        traceback.print_exc()


def _log_hint(run: RunFolder) -> str:
    return f"read {run.runner / 'output.log'}"


def _ask_to_stop(number: int, frame: object) -> None:
    for again in STOP_SIGNALS:
        signal.signal(again, signal.SIG_IGN)
    raise StopRequested


def main(arguments: list[str]) -> int:
    """Run `python -m deft.runner RUN [--until-judgement]`."""
    for number in STOP_SIGNALS:
        signal.signal(number, _ask_to_stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run = RunFolder(Path(arguments[0]))
    try:
        outcome = work(run, until_judgement="--until-judgement" in arguments)
    except RunBusy:
        return RunBusy.exit_code
    return int(outcome.get("exit_code", 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
