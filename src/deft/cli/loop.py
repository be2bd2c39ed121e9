"""The verbs of the loop: plan, approve, run, look, stop."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deft.cli.answers import answer, answer_text, find_run
from deft.cli.output import UNTRUSTED, emit, json_was_asked_for, say

if TYPE_CHECKING:
    from deft.platforms.base import Check
    from deft.workspace.layout import RunFolder

HERE = Path(".")
AGENT_WAIT_SECONDS = 90.0
BY_WORD = "show this summary and end your turn; the user's own message approves"

_workspace = click.argument("workspace", type=click.Path(path_type=Path), default=HERE)
_place = click.argument("place", type=click.Path(path_type=Path), default=HERE)


Command = Callable[..., Any]


def _optional(name: str, kind: type, text: str) -> Callable[[Command], Command]:
    return click.option(name, type=kind, default=None, help=text)


@click.command()
@_workspace
@click.option("--target", default=None, help='For example "FAR < 0.1% at recall = 100%".')
@click.option("--platform", default="embedded", show_default=True, help="Where tool calls run.")
@_optional("--max-iterations", int, "Iterations after the baseline (3).")
@_optional("--epochs", int, "Epochs of each training (the spec's).")
@_optional("--batch-size", int, "Pairs a step (the spec's; lowered to the smallest set).")
@_optional("--num-gpus", int, "GPUs of each tool call (as many as there are, at most the spec's).")
@_optional("--seed", int, "Seed of training and of draws (the spec's).")
@_optional("--precision", str, "32-true or bf16-mixed (measured for a second).")
@_optional("--threads", int, "CPU threads of the engine (all cores).")
@_optional("--top-k-per-target", int, "Pool rows mined for each weak sample (5).")
@_optional("--top-k-per-label", int, "Weak samples kept per label by the gap analysis.")
@_optional("--targets-pass", int, "Weakest PASS components to mine for.")
@_optional("--targets-defect", int, "Weakest defect components to mine for.")
@_optional("--knn-metric", str, "cosine, euclidean or manhattan.")
@_optional("--filter-by-label", str, "class, label or none.")
@_optional("--min-similarity", str, "A cosine (0.9), a percentile of the pool (p25), or none.")
@_optional("--synthetic-share", float, "Largest share of synthetic rows among the mined.")
@_optional("--mining", str, "targets, or the controls random and none.")
@_optional("--encoder", str, "deft_pair, SigLIP or CLIP.")
@_optional("--encoder-path", str, "Local folder or hub id of the encoder.")
@click.option("--baseline-checkpoint", type=click.Path(path_type=Path), help="Start from this trained model.")
@click.option("--spot-check/--no-spot-check", default=None, help="Whether eyes judge the weak samples.")
def preflight(
    workspace: Path,
    target: str | None,
    platform: str,
    epochs: int | None,
    baseline_checkpoint: Path | None,
    **given: Any,
) -> None:
    """Check a workspace, plan a run, print the Pre-Flight Summary, and stop.

    The summary is text for people wherever it is printed; --json prints its facts as one record instead.
    Exit code 5, and no plan that waits, where the platform lacks something.

    Example: deft preflight ~/workspace --target "FAR<0.1%@recall=100%"
    """
    from deft.errors import EnvironmentMissing
    from deft.preflight.plan import make_plan
    from deft.preflight.summary import summary
    from deft.workspace.layout import Workspace

    plan, inspection, checks = make_plan(
        Workspace.at(workspace),
        target=target,
        platform=platform,
        given={**given, "num_epochs": epochs},
        baseline=baseline_checkpoint,
    )
    as_json = json_was_asked_for()
    if not as_json:
        say(summary(plan, inspection, checks))  # before the plan waits: nobody approves what was not shown
    digest, following = _keep(plan, checks)
    if as_json:
        emit(_plan_record(plan, checks, digest, following), str)
    else:
        waits = f"plan {digest[:12]} waits" if digest else "no plan waits"
        say(f"{waits}. next: {following}")
    if digest is None:
        raise SystemExit(EnvironmentMissing.exit_code)


def _keep(plan: dict[str, Any], checks: Sequence[Check]) -> tuple[str | None, str]:
    """Let a plan wait for its approval if every check passed; return its hash and what comes next."""
    from deft.guard.approval import drop_pending
    from deft.run.gate import save_pending

    if not all(check.passed for check in checks):
        drop_pending(plan["workspace"])  # an older plan must not be what the next yes is about
        return None, "mend the above, then the same command"
    session = os.environ.get("DEFT_SESSION_ID")
    digest = save_pending(plan, session_id=session)
    return digest, BY_WORD if session else f"deft approve {shlex.quote(plan['workspace'])}"


def _plan_record(
    plan: dict[str, Any], checks: Sequence[Check], digest: str | None, following: str
) -> dict[str, Any]:
    """Return the summary's facts: what was chosen and why, what was looked at, what comes next."""
    named = ("run_id", "workspace", "platform", "target", "settings", "advice", "estimate", "versions")
    return {
        "status": "waits" if digest else "missing",
        "plan": digest,
        **{name: plan[name] for name in named},
        "checks": [asdict(check) for check in checks],
        "next": following,
        UNTRUSTED: ["advice", "checks"],
    }


@click.command()
@_workspace
def approve(workspace: Path) -> None:
    """Ask at the terminal whether the waiting plan may run; an agent cannot answer this."""
    from deft.errors import NotApproved
    from deft.guard.words import is_approval
    from deft.run.gate import approve as record_approval
    from deft.run.gate import require_terminal, waiting_plan
    from deft.workspace.layout import Workspace

    found = Workspace.at(workspace)
    require_terminal()
    plan = waiting_plan(found)
    where = shlex.quote(str(found.root))
    if not is_approval(click.prompt(f"Run {plan['run_id']} as summarised? (yes/no)", default="no")):
        raise NotApproved("not approved; nothing was started", hint=f"deft approve {where}")
    record = record_approval(found, by="terminal")
    following = plan.get("command", f"deft run {where}")
    emit({"status": "approved", "run_id": record["run_id"], "next": following}, _approved)


def _approved(record: dict[str, Any]) -> str:
    return f"approved: {record['run_id']}\nnext: {record['next']}"


@click.command()
@_place
@click.option(
    "--until", type=click.Choice(["judgement", "end"]), default="end", help="Pause where eyes are needed."
)
@click.option("--wait", type=float, default=None, help="Seconds to wait (90 in an agent, else no end).")
def run(place: Path, until: str, wait: float | None) -> None:
    """Start or join the approved run; repeating the command is always right.

    The work goes on when this command or its terminal ends. Exit code 1 when a stage failed or the runner
    was killed.
    """
    from deft.cli.running import follow, start_or_join

    found = start_or_join(place, until_judgement=until == "judgement")
    if wait is None and "CLAUDECODE" in os.environ:
        wait = AGENT_WAIT_SECONDS
    outcome = follow(found, wait_seconds=wait)
    emit(answer(found), answer_text)
    raise SystemExit(int(outcome.get("exit_code", 0)))


@click.command()
@_place
def status(place: Path) -> None:
    """Say where a run stands: what was done last, what it does now, what to do next."""
    emit(answer(find_run(place)), answer_text)


@click.command("next")
@_place
def next_step(place: Path) -> None:
    """Say the next command and nothing else."""
    record = answer(find_run(place))
    emit({"status": record["status"], "next": record["next"]}, lambda shown: str(shown["next"]))


@click.command("spot-check")
@_place
@click.argument("verdicts", nargs=-1)
def spot_check(place: Path, verdicts: tuple[str, ...]) -> None:
    """Record what was seen: 1=mislabeled 2="edge case" 3="data quality" 4=systematic ...

    PLACE is a run, or the folder of a gap analysis that was made alone.
    """
    from deft.run.by_hand import guarding_run
    from deft.run.spot_check import SAMPLES, record_alone

    if (place / SAMPLES).is_file() and guarding_run(place) is None:
        record, following = record_alone(place, verdicts), f"deft report rca {place}"
    else:
        found = find_run(place)
        record, following = _record_verdicts(found, verdicts), f"{_run_command(found)} --until judgement"
    corrections = len(record["proposed_corrections"])
    shown = {"status": "recorded", "proposed_corrections": corrections, "next": following}
    emit(shown, lambda kept: f"recorded\nnext: {kept['next']}")


def _record_verdicts(run: RunFolder, verdicts: tuple[str, ...]) -> dict[str, Any]:
    from deft.run.gate import require_approval
    from deft.run.log import LoopLog
    from deft.run.spot_check import record_verdicts
    from deft.run.state import read_plan

    plan = read_plan(run)
    require_approval(run, plan)
    return record_verdicts(run, plan, LoopLog(run.log), verdicts)


def _run_command(found: RunFolder) -> str:
    return f"deft run {shlex.quote(str(found.root))}"


@click.command()
@_place
def stop(place: Path) -> None:
    """End a run cleanly: a training writes its checkpoint first; `deft run` resumes it."""
    from deft.runner import end_left_work, stop_runner

    found = find_run(place)
    stopped = stop_runner(found)
    left = [] if stopped else end_left_work(found)
    record = {"status": "stopped" if stopped or left else "not running", "next": _run_command(found)}
    record |= {"ended": ", ".join(left)[:200]} if left else {}
    emit(record, _stop_text)


def _stop_text(record: dict[str, Any]) -> str:
    ended = [f"ended, its runner was killed: {record['ended']}"] if "ended" in record else []
    return "\n".join([record["status"], *ended, f"next: {record['next']}"])


@click.command()
@_place
def audit(place: Path) -> None:
    """Re-derive every record of a run from its artifacts; name the first disagreement (exit 6)."""
    from deft.run.audit import audit_run

    emit(audit_run(find_run(place)), _audit_text)


def _audit_text(record: dict[str, Any]) -> str:
    lines = [f"{record['status']}: {record['checked']} facts checked"]
    return "\n".join(lines + [f"not checked: {what}" for what in record["not_checked"]])


@click.command()
@_place
@click.option("--yes", is_flag=True, help="Remove; without it the command only says what it would.")
def clean(place: Path, yes: bool) -> None:
    """Remove checkpoints that no hand-over, incumbent or resume needs."""
    from deft.run.clean import remove_checkpoints, superfluous_checkpoints

    found = find_run(place)
    paths = superfluous_checkpoints(found)
    size = sum(path.stat().st_size for path in paths)
    if yes:
        remove_checkpoints(found, paths)
    record = {"status": "removed" if yes else "would remove", "checkpoints": len(paths), "bytes": size}
    emit(record, lambda shown: f"{shown['status']} {shown['checkpoints']} checkpoints, {size / 1e6:.1f} MB")


@click.command("rebuild-state")
@_place
def rebuild_state(place: Path) -> None:
    """Write deft_state.json anew from plan and log alone; the bytes are those that were there."""
    from deft.run.state import rebuild

    found = find_run(place)
    state = rebuild(found)
    record = {"status": "rebuilt", "state": str(found.state), "lines": state["log"]["seq"]}
    emit(record, lambda shown: f"{shown['state']} from {shown['lines']} lines")
