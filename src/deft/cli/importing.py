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
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
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


@import_group.command()
@click.argument("workspace", type=PATH)
@click.option("--golden-dir", type=PATH, required=True, help="Defect-free pictures.")
@click.option("--test-dir", type=PATH, required=True, help="Inspected pictures, named as their goldens.")
@click.option("--labels", type=PATH, required=True, help="CSV: one row a picture.")
@click.option("--image-column", default="image", show_default=True)
@click.option("--label-column", default="label", show_default=True)
@click.option("--board-column", help="Rows of one board stay together (else: of one golden picture).")
@click.option("--defect-column", help="Defect type, where the label only says good or bad.")
@click.option("--pass-label", default="PASS", show_default=True, help="What the table calls a good part.")
@click.option("--light", "lights", multiple=True, help="A light: pictures end in _<light>; may be repeated.")
@click.option("--train-share", "train", type=float, help="Share of the rows; what is left is the pool.")
@click.option("--validation-share", "validation", type=float)
@click.option("--kpi-share", "kpi", type=float)
@click.option("--holdout-share", "holdout", type=float)
@click.option("--reconstructed-dir", type=PATH, help="Pre-generated pictures with a defect.")
@click.option("--original-dir", type=PATH, help="Their partners without one, by stem.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def folders(workspace: Path, golden_dir: Path, test_dir: Path, labels: Path, seed: int, **given: Any) -> None:
    """Make WORKSPACE from golden and test folders with a table of labels, split by board.

    Example: deft import folders ~/workspace --golden-dir golden --test-dir test --labels labels.csv
    """
    from deft.progress import for_terminal
    from deft.workspace.importers.folders import SHARES, import_folders
    from deft.workspace.importers.folders_source import Columns

    columns = {name: given[f"{name}_column"] for name in ("image", "label", "board", "defect")}
    import_folders(
        golden_dir,
        test_dir,
        labels,
        workspace,
        seed=seed,
        shares={name: share if given[name] is None else given[name] for name, share in SHARES.items()},
        columns=Columns(**columns),
        lights=given["lights"],
        pass_label=given["pass_label"],
        pregenerated=_pregenerated(given["reconstructed_dir"], given["original_dir"]),
        progress=for_terminal(),
    )
    answer_imported(workspace)


def _pregenerated(reconstructed: Path | None, original: Path | None) -> Any:
    from deft.workspace.importers.folders import Pregenerated

    if (reconstructed is None) != (original is None):
        raise click.UsageError("--reconstructed-dir and --original-dir belong together")
    return Pregenerated(reconstructed, original) if reconstructed and original else None


def answer_imported(workspace: Path) -> None:
    """Say where the workspace is, what its sets hold and what comes next."""
    place = shlex.quote(str(workspace))
    record = {
        "status": "imported",
        "workspace": str(workspace),
        "sets": _sets(workspace),
        "next": f"deft preflight {place}",
    }
    emit(record, _imported_text)


def _sets(workspace: Path) -> dict[str, dict[str, int]]:
    from deft.workspace.layout import Workspace
    from deft.workspace.rows import is_pass, read_table

    made = Workspace.at(workspace)
    tables = {
        "train": made.training_table,
        "validation": made.validation_table,
        "kpi": made.kpi_table,
        "holdout": made.holdout_table,
        "mining pool": made.mining_pool_table,
    }
    passing = {name: is_pass(read_table(path)["label"]) for name, path in tables.items() if path.is_file()}
    return {name: {"pass": int(rows.sum()), "defect": int((~rows).sum())} for name, rows in passing.items()}


def _imported_text(record: dict[str, Any]) -> str:
    sets = [
        f"  {name:<12} {rows['pass']:>7,} PASS {rows['defect']:>7,} defect"
        for name, rows in record["sets"].items()
    ]
    return "\n".join([f"imported: {record['workspace']}", *sets, f"next: {record['next']}"])
