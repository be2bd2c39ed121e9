"""The doorways to tables and pairs, with the flags of the original scripts."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from deft.cli.output import UNTRUSTED, emit, say
from deft.cli.records import say_unguarded
from deft.errors import InputRefused
from deft.untrusted import untrusted

PATH = click.Path(path_type=Path)
LIGHT = "SolderLight"
EXTENSION = ".jpg"

_light = click.option("--light", help=f'Light of the image names; "" for none (the spec\'s, else {LIGHT}).')
_extension = click.option("--image-ext", help=f"Extension of the image names (the spec's, else {EXTENSION}).")


def image_names(workspace: Path, light: str | None, extension: str | None) -> dict[str, Any]:
    """Return light and extension as given, else as the workspace's own spec says, else the original's."""
    from deft import files
    from deft.workspace.layout import Workspace
    from deft.workspace.rows import ImageLayout

    spec = Workspace(workspace.expanduser()).baseline_spec
    known = ImageLayout((LIGHT,), EXTENSION)
    if spec.is_file():
        known = ImageLayout.from_spec(files.read_yaml(spec))
    return {
        "light": light if light is not None else next(iter(known.lights), None),
        "image_ext": extension or known.extension,
    }


@click.command()
@click.option("--csv", type=PATH, required=True, help="The table to check.")
@click.option("--workspace-root", type=PATH, required=True)
@click.option("--validation-csv", type=PATH, help="A table that may share no image with it.")
@_light
@_extension
def validate_csv(
    csv: Path, workspace_root: Path, validation_csv: Path | None, light: str | None, image_ext: str | None
) -> None:
    """Check a table: columns, label form, every image, and no image shared with the validation table.

    Example: deft validate-csv --csv train.csv --workspace-root ~/workspace --validation-csv val.csv
    """
    from deft.progress import for_terminal
    from deft.workspace.validation import validate_table

    names = image_names(workspace_root, light, image_ext)
    record = validate_table(csv, workspace_root, validation_csv, progress=for_terminal(), **names)
    labels = [{"label": untrusted(name), "rows": rows} for name, rows in record["labels"].items()]
    emit({**record, "labels": labels, UNTRUSTED: ["labels", "leakage"]}, _table_text)


def _table_text(record: dict[str, Any]) -> str:
    labels = ", ".join(f"{each['label']} ({each['rows']})" for each in record["labels"])
    return f"ok: {record['rows_checked']} rows, labels {labels}"


@click.command()
@click.option("--workspace", type=PATH, required=True)
@click.option("--results-dir", type=PATH, required=True, help="Where synth_pool/ is made.")
@_light
@_extension
@click.option("--embed-with-siglip", is_flag=True, help="Embed the pool as well, on this machine.")
@click.option("--ds-image", help="Accepted for compatibility: embedding runs on the embedded platform.")
@click.option("--siglip-model", default="google/siglip-base-patch16-224", show_default=True)
@click.option("--force", is_flag=True, help="Build an existing pool anew.")
def prestage_pregen(
    workspace: Path,
    results_dir: Path,
    light: str | None,
    image_ext: str | None,
    embed_with_siglip: bool,
    ds_image: str | None,
    siglip_model: str,
    force: bool,
) -> None:
    """Stage the pre-generated pairs once and build the source pool, with a digest of its content."""
    from deft.progress import for_terminal
    from deft.run.by_hand import require_guard
    from deft.workspace.source_pool import prestage

    say_unguarded(require_guard(results_dir), results_dir)
    if ds_image:
        say(f"note: {ds_image} is not started; the pool is embedded on this machine", err=True)
    names = image_names(workspace, light, image_ext)
    manifest = prestage(workspace, results_dir, force=force, progress=for_terminal(), **names)
    if embed_with_siglip:
        _embed(results_dir.expanduser().resolve() / "synth_pool", siglip_model)
    emit(manifest, lambda shown: "\n".join(f"{name}: {value}" for name, value in shown.items()))


def _embed(folder: Path, model: str) -> None:
    from deft.platforms.base import ToolCall
    from deft.platforms.registry import platform_named
    from deft.progress import for_terminal
    from deft.workspace.layout import SynthPool

    pool = SynthPool(folder)
    call = ToolCall(
        category="embedding",
        action="image_embeddings",
        spec=None,
        overrides={
            "input_parquet": pool.source_parquet,
            "output_parquet": pool.source_embeddings,
            "model": "SigLIP",
            "model_path": model,
        },
        reads=(pool.root,),
        writes=pool.root,
        log=pool.root / "source_embed.log",
        title="embed the source pool",
    )
    platform_named("embedded").run([call], for_terminal())


@click.command()
@click.option("--input-dir", type=PATH, required=True, help="Images with a defect.")
@click.option("--golden-dir", type=PATH, required=True, help="Their partners without one, by stem.")
@click.option("--output", type=PATH, help="The table to write.")
@click.option("--label", help="Label of every pair (else the stem's: X+<label>_<n>, else ng).")
@click.option("--images-dir", type=PATH, help="Stage the pairs below this folder; else absolute paths.")
@click.option("--subdir", default="sdg", show_default=True, help="Name of the staged folders.")
@click.option("--light", default=LIGHT, show_default=True, help='"" for none.')
@click.option("--image-ext", default=EXTENSION, show_default=True)
def changenet_data_pair_prepare(
    input_dir: Path, golden_dir: Path, output: Path | None, images_dir: Path | None, **given: Any
) -> None:
    """Pair two image folders by stem and write their table, staged or by absolute paths."""
    from deft.run.by_hand import require_guard
    from deft.workspace.pairs import prepare_pairs

    if output is not None and output.is_dir():  # before anything is staged
        named = shlex.quote(str(output / f"{given['subdir']}_pairs.csv"))
        raise InputRefused("expected a file, found a folder", value=output, hint=f"--output {named}")
    places = [place for place in (output, images_dir) if place is not None] or [input_dir.parent]
    guarded = [require_guard(place) for place in places]
    record = prepare_pairs(input_dir, golden_dir, output, images_dir=images_dir, **given)
    say_unguarded(all(guarded), places[0])
    emit(record, lambda shown: f"{shown['paired_count']} pairs: {shown['output_csv']}")
