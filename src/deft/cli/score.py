"""Score new images in production."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deft.cli.output import emit
from deft.errors import UsageError


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--model", required=True, type=click.Path(path_type=Path), help="best_model.json of a run.")
@click.option("--images-dir", type=click.Path(path_type=Path), help="Image root of a table (its folder).")
@click.option("--goldens", type=click.Path(path_type=Path), help="Golden images, where SOURCE is a folder.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("scores.csv"), show_default=True)
@click.option("--platform", default="embedded", show_default=True)
def score(
    source: Path, model: Path, images_dir: Path | None, goldens: Path | None, output: Path, platform: str
) -> None:
    """Score SOURCE, a table of rows or a folder of images, and judge at the handed-over threshold."""
    from deft.progress import for_terminal
    from deft.score import Model, score_folders, score_table

    found = Model.read(model)
    more: dict[str, Any] = {"platform": platform, "progress": for_terminal()}
    if source.is_dir():
        if goldens is None:
            raise UsageError(
                "a folder of images needs its goldens", value=source, hint="add --goldens FOLDER"
            )
        record = score_folders(source, goldens, found, output, **more)
    else:
        record = score_table(source, images_dir or source.parent, found, output, **more)
    emit(record, _text)


def _text(record: dict[str, Any]) -> str:
    lines = [f"{record['rejected']} of {record['rows']} rejected at {record['threshold']!r}"]
    lines.append(f"scores and verdicts: {record['scores']}")
    if record["drift"]["warning"]:
        lines.append(f"warning: {record['drift']['warning']}")
    return "\n".join(lines + [f"note: {note}" for note in record["notes"]])
