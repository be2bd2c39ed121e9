"""The doorways to a run's records, with the flags of the original scripts."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import Any

import click

from deft.cli.output import emit, json_was_asked_for, say
from deft.untrusted import untrusted

PATH = click.Path(path_type=Path)
LISTED = 5


def say_unguarded(guarded: bool, place: Path) -> None:
    """Tell on stderr that nobody's plan guards what is about to be written."""
    if not guarded:
        say(f"note: no plan guards {place}", err=True)


@click.command()
@click.argument("csv", type=PATH)
@click.option("--output-dir", type=PATH, help="Where the files go (beside the table: <stem>_analysis).")
@click.option("--label-column", default="label", show_default=True)
@click.option("--score-column", default="siamese_score", show_default=True)
@click.option("--pass-label", default="PASS", show_default=True)
@click.option("--bins", type=int, default=40, show_default=True, help="Bars of the histograms.")
def analyze_kpi(csv: Path, output_dir: Path | None, **options: Any) -> None:
    """Sweep the threshold of an inference table: figures, tables, plots and kpi.json.

    Example: deft analyze-kpi inference.csv --output-dir kpi
    """
    from deft.metrics.kpi_files import analyze
    from deft.run.by_hand import require_guard

    table = csv.resolve()
    place = output_dir.resolve() if output_dir else table.with_name(f"{table.stem}_analysis")
    require_guard(place)
    result = analyze(table, place, **options)
    _warn_of_one_class(result["kpi"], table, options)
    if json_was_asked_for():
        emit(result["kpi"], str)
    else:
        say("\n".join(result["lines"]))


def _warn_of_one_class(kpi: dict[str, Any], table: Path, options: dict[str, Any]) -> None:
    """Say which labels there are where the pass label separates none: a misspelt one looks like that."""
    from deft.metrics.kpi_analysis import labels_of

    if kpi["pass_rows"] and kpi["defect_rows"]:
        return
    share = "every row" if kpi["pass_rows"] else "no row"
    labels = [f"{untrusted(name)!r} ({rows})" for name, rows in labels_of(table, options["label_column"])]
    more = f" and {len(labels) - LISTED} more" if len(labels) > LISTED else ""
    say(
        f"warning: {share} has the pass label {options['pass_label']!r}, so there are no rates; "
        f"column {options['label_column']!r} holds {', '.join(labels[:LISTED])}{more}",
        err=True,
    )


@click.command()
@click.option("--results-dir", type=PATH, required=True)
@click.option("--workspace", type=PATH, required=True)
@click.option("--kpi-target", required=True, help='For example "FAR < 0.1% at recall = 100%".')
@click.option("--max-iterations", type=click.IntRange(min=0), required=True)
@click.option("--num-gpus", type=click.IntRange(min=0), required=True)
@click.option("--num-epochs", type=click.IntRange(min=1), required=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--top-k-per-target", type=click.IntRange(min=1), default=5, show_default=True)
@click.option(
    "--knn-metric",
    type=click.Choice(["cosine", "euclidean", "manhattan"]),
    default="cosine",
    show_default=True,
)
@click.option("--min-similarity", type=float, help="Cosine below which nothing is mined; off without it.")
@click.option("--train-container", help="Image of the training tool (the pinned one).")
@click.option("--force", is_flag=True, help="Replace an existing state.")
def init_deft_state(results_dir: Path, train_container: str | None, force: bool, **given: Any) -> None:
    """Write the first deft_state.json of a folder without a plan; `deft run` writes a planned run's own."""
    from deft.metrics.target import parse_target
    from deft.run.by_hand import StateSettings, init_state
    from deft.versions import resolve_versions_key

    image = train_container or resolve_versions_key("images.tao_toolkit.pyt")
    target = parse_target(given["kpi_target"]).to_record()
    state = init_state(results_dir, StateSettings(train_container=image, **given), target, force=force)
    say_unguarded(False, results_dir)
    record = {"status": "written", "state": f"{state['results_dir']}/deft_state.json"}
    emit(record, lambda shown: str(shown["state"]))


@click.command()
@click.option("--log-path", type=PATH, required=True, help="The run's loop_log.jsonl.")
@click.option("--iter-label", required=True, help="baseline, iter1, iter2, …")
@click.option("--stage", required=True, help="The stage that was just done.")
@click.option("--status", type=click.Choice(["ok", "error"]), required=True)
@click.option("--summary", required=True, help="What came out, in one line.")
@click.option("--duration-sec", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--context-tokens", type=click.IntRange(min=0), default=0, show_default=True)
def log_stage(log_path: Path, iter_label: str, **entry: Any) -> None:
    """Log a stage that was done by hand; it counts once `deft audit` has recomputed its artifacts."""
    from deft.run.by_hand import guarding_run, run_of_log
    from deft.run.by_hand import log_stage as append

    is_new = not log_path.parent.is_dir()
    written = append(log_path, {"iter": iter_label, **entry})
    say_unguarded(guarding_run(log_path) is not None, log_path.parent)
    if is_new:  # as the original does, but a mistyped path is to be noticed
        say(f"note: {log_path.parent} did not exist and was made; a new log begins in it", err=True)
    record = {name: written[name] for name in ("seq", "ts", "iter", "stage", "status", "kind")}
    run = run_of_log(log_path)
    following = {} if run is None else {"next": f"deft audit {shlex.quote(str(run.root))}"}
    emit({**record, **following}, lambda shown: f"{shown['seq']} {shown['iter']}/{shown['stage']}")


@click.command()
@click.option("--log-path", type=PATH, required=True, help="The run's loop_log.jsonl.")
@click.option("--transcript", "transcripts", type=PATH, multiple=True, help="A transcript; may be repeated.")
@click.option("--project-dir", type=PATH, help="The client's folder of transcripts.")
@click.option("--cwd", type=PATH, help="The folder in which the client was started (here).")
@click.option("--dry-run", is_flag=True, help="Show the figures and write nothing.")
def align_token_usage(
    log_path: Path, transcripts: tuple[Path, ...], project_dir: Path | None, cwd: Path | None, dry_run: bool
) -> None:
    """Attribute the tokens of a client's transcripts to the stages of a log, as one note in it."""
    from deft.run.by_hand import append, guarding_run, refuse_folder_as_log, require_guard
    from deft.run.state import read_plan
    from deft.run.tokens import align_token_usage as align
    from deft.run.tokens import project_folder, transcript_files, with_subagents

    refuse_folder_as_log(log_path)
    run = guarding_run(log_path)
    if not dry_run:
        require_guard(log_path)
    created_at = read_plan(run)["created_at"] if run else None
    named = [path for transcript in transcripts for path in with_subagents(transcript)]
    chosen = named or transcript_files(project_dir or project_folder(cwd or Path.cwd()))
    write = partial(append, log_path)
    usage = align(log_path, chosen, append=write, created_at=created_at, dry_run=dry_run)
    say_unguarded(dry_run or run is not None, log_path.parent)
    stages = {str(seq): record for seq, record in usage.items()}
    emit({"status": "shown" if dry_run else "recorded", "stages": stages}, _usage_text)


def _usage_text(record: dict[str, Any]) -> str:
    stages = record["stages"].items()
    return "\n".join(f"entry {seq}: {usage['n_messages']} replies" for seq, usage in stages)


@click.command()
@click.option("--results-dir", type=PATH, required=True, help="The run's folder.")
def prepare_inference_spec(results_dir: Path) -> None:
    """Write best_model.json and best_model_inference_spec.yaml of a run's best model."""
    from deft.run.by_hand import guarding_run, hand_over

    record = hand_over(results_dir)
    say_unguarded(guarding_run(results_dir) is not None, results_dir)
    emit(record, lambda shown: f"{shown['iteration']}: {shown['checkpoint']} at {shown['threshold']}")
