"""Draw a workspace and run the whole loop on it: the first thing a newcomer does."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import click

from deft.errors import StateConflict

TARGET = "FAR < 0.1% at recall = 100%"
SETTINGS: dict[str, Any] = {"top_k_per_target": 2, "spot_check": False}
QUICK = {"max_iterations": 1}


@click.command()
@click.option(
    "--workspace", type=click.Path(path_type=Path), default=Path("demo-workspace"), show_default=True
)
@click.option("--fresh", is_flag=True, help="Draw and run again from nothing.")
@click.option("--quick", is_flag=True, help="A third of the boards and one iteration.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the boards and the training.",
)
def demo(workspace: Path, fresh: bool, quick: bool, seed: int) -> None:
    """Draw boards, run the whole loop on this machine, and show what it gained.

    A second call resumes an interrupted demo, or shows the finished one.
    """
    from deft.cli.answers import answer, answer_text
    from deft.cli.demo_result import result_record, result_text
    from deft.cli.output import emit
    from deft.cli.running import follow, start_or_join

    run = _prepare(workspace.expanduser().resolve(), fresh=fresh, quick=quick, seed=seed)
    if answer(run)["status"] != "complete":
        start_or_join(run.root, until_judgement=False)
        outcome = follow(run, wait_seconds=None)
        if outcome["status"] != "complete":
            emit(answer(run), answer_text)
            raise SystemExit(int(outcome.get("exit_code", 1)))
    emit(result_record(run), lambda record: result_text(run, record))


def _prepare(root: Path, *, fresh: bool, quick: bool, seed: int) -> Any:
    """Return the demo's run: the last one of this workspace, or a new one, drawn and approved."""
    from deft.workspace.layout import Workspace

    if fresh and not _is_vacant(root):
        _remove(root)
    if _is_vacant(root):
        _draw(root, quick=quick, seed=seed)
    made = _require_drawn(root)
    if (made.get("seed"), made.get("quick")) != (seed, quick):
        raise StateConflict(
            "demo workspace was drawn with another seed or size", value=root, hint="add --fresh"
        )
    found = Workspace.at(root)
    runs = [run for run in found.runs() if run.plan.is_file()]
    return runs[-1] if runs else _plan(found, quick=quick, seed=seed)


def _is_vacant(root: Path) -> bool:
    return not root.exists() or (root.is_dir() and not any(root.iterdir()))


def _remove(root: Path) -> None:
    """Remove a workspace that the demo drew and nobody works in."""
    from deft.run.lock import holder
    from deft.workspace.layout import Workspace

    _require_drawn(root)
    for run in Workspace(root).runs():
        if holder(run) is not None:
            where = shlex.quote(str(run.root))
            raise StateConflict(
                "a run works in the demo workspace", value=run.root, hint=f"deft stop {where}"
            )
    shutil.rmtree(root)


def _require_drawn(root: Path) -> dict[str, Any]:
    from deft import files
    from deft.workspace.demo import MADE_BY
    from deft.workspace.layout import Workspace

    path = Workspace(root).provenance
    made: dict[str, Any] = files.read_json(path) if path.is_file() else {}
    if made.get("made_by") != MADE_BY:
        raise StateConflict(
            "folder was not drawn by the demo", value=root, hint="deft demo --workspace ANOTHER"
        )
    return made


def _draw(root: Path, *, quick: bool, seed: int) -> None:
    from deft.progress import for_terminal
    from deft.run.gate import remember_drawn
    from deft.workspace.demo import draw_workspace
    from deft.workspace.layout import Workspace

    draw_workspace(root, seed=seed, quick=quick, progress=for_terminal())
    remember_drawn(Workspace.at(root))


def _plan(workspace: Any, *, quick: bool, seed: int) -> Any:
    from deft.cli.output import say
    from deft.preflight.plan import make_plan
    from deft.preflight.summary import summary
    from deft.run.gate import approve, open_run, save_pending

    given = {**SETTINGS, **(QUICK if quick else {}), "seed": seed}
    plan, inspection, checks = make_plan(workspace, target=TARGET, platform="embedded", given=given)
    say(summary(plan, inspection, checks), err=True)
    save_pending(plan)
    approve(workspace, by="demo")
    return open_run(workspace)
