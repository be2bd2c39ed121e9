"""`deft import deeppcb` and `deft import folders`: a foreign dataset becomes a workspace."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from deft.cli.output import emit

PATH = click.Path(path_type=Path)


@click.group("import")
def import_group() -> None:
    """Turn a foreign dataset into a workspace, split so that no board stands on two sides."""


@import_group.command()
@click.argument("source", type=PATH)
@click.argument("workspace", type=PATH)
@click.option("--realistic", is_flag=True, help="Photograph the black and white boards under six conditions.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--kpi-group", "kpi_groups", multiple=True, default=["77000"], show_default=True)
@click.option("--holdout-group", "holdout_groups", multiple=True, default=["50600"], show_default=True)
@click.option("--pool-defect-share", type=float, help="Share of defects in the pool (a third; a line: 0.03).")
def deeppcb(source: Path, workspace: Path, **options: Any) -> None:
    """Make WORKSPACE from a copy of DeepPCB at SOURCE, whole board groups apart.

    Example: deft import deeppcb DeepPCB ~/workspace --realistic
    """
    from deft.progress import for_terminal
    from deft.workspace.importers.deeppcb import import_deeppcb

    import_deeppcb(source, workspace, progress=for_terminal(), **options)
    answer_imported(workspace)


def answer_imported(workspace: Path) -> None:
    """Say where the workspace is and what comes next."""
    place = shlex.quote(str(workspace))
    record = {"status": "imported", "workspace": str(workspace), "next": f"deft preflight {place}"}
    emit(record, lambda shown: f"imported: {shown['workspace']}\nnext: {shown['next']}")
