"""`deft shard plan|run|reduce`: embedding and mining cut into pieces for many processes and machines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from deft.cli.output import emit
from deft.cli.steps import PATH, SHARE, absolute, carry_out_step, step_text

AUTO = "auto"
TASK_VARIABLES = ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX")


@click.group("shard")
def shard_group() -> None:
    """Embed or mine in shards, past one process and one machine."""


@shard_group.group("plan")
def plan_group() -> None:
    """Cut a piece of work into shards: shows the plan, and writes it once it is approved."""


_output = click.option("--output-dir", type=PATH, required=True, help="The folder of the shards.")
_shards = click.option("--shards", type=int, help="How many (one for 10,000 images or 100,000 vectors).")


@plan_group.command("embedding")
@click.argument("table", type=PATH)
@_output
@click.option("--encoder", "model", help="SigLIP, CLIP or deft_pair.")
@click.option("--encoder-path", "model_path", help="Local folder, hub id, or the pair encoder's checkpoint.")
@click.option("--statistics", "statistics_parquet", type=PATH, help="Embedded pool of deft_pair targets.")
@click.option("--precision", help="In which SigLIP and CLIP multiply: fp32 (default), bf16 or auto.")
@click.option("--storage", help="double (as TAO writes), float32 or float16.")
@_shards
def plan_embedding(table: Path, output_dir: Path, **given: Any) -> None:
    """Plan the embedding of a table of images (Parquet with `filepath`).

    Example: deft shard plan embedding source_pool.parquet --output-dir pool_shards --shards 64
    """
    from deft.steps.shard import EmbeddingShards

    for name in ("model_path", "statistics_parquet"):
        if given[name] and Path(given[name]).expanduser().exists():
            given[name] = str(absolute(Path(given[name])))
    _plan(EmbeddingShards(absolute(table), absolute(output_dir), given))


@plan_group.command("mining")
@click.argument("targets", type=PATH)
@click.argument("pool", type=PATH)
@_output
@click.option("--top-k", "top_k_per_target", type=int, help="Neighbours of each target (5).")
@click.option("--metric", "knn_metric", help="cosine, euclidean or manhattan.")
@click.option("--filter-by-label", help="class, label or none.")
@click.option("--min-similarity", help="A cosine (0.9), a percentile of the pool (p25), or none.")
@click.option("--synthetic-share", type=SHARE, help="Largest share of synthetic rows among the mined.")
@_shards
def plan_mining(targets: Path, pool: Path, output_dir: Path, shards: int | None, **given: Any) -> None:
    """Plan a search for look-alikes: two tables with vectors, of one encoder.

    Example: deft shard plan mining targets.parquet pool_shards/embeddings.parquet --output-dir mined
    """
    from deft.steps.shard import MiningShards

    _plan(MiningShards(absolute(targets), absolute(pool), absolute(output_dir), given, shards))


def _plan(request: Any) -> None:
    emit(carry_out_step(request), step_text)


@shard_group.command("run")
@click.argument("folder", type=PATH)
@click.option(
    "--id", "ids", multiple=True, help="Do this shard here, repeatable; `auto`: the task's own number."
)
@click.option("--attempt", type=click.IntRange(min=1), help="Number of this attempt (the next that is free).")
@click.option("--launcher", default="local", show_default=True, help="Where the missing shards are done.")
@click.option("--workers", type=click.IntRange(min=1), help="Shards at once (one a processor).")
def run(folder: Path, ids: tuple[str, ...], attempt: int | None, launcher: str, workers: int | None) -> None:
    """Do the shards that are missing or do not verify, or with --id one of them in this process.

    `--id auto` is for a task of an array: SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX.

    Example: deft shard run pool_shards --workers 4
    """
    from deft.progress import for_terminal
    from deft.shards.launchers.base import run_missing
    from deft.shards.launchers.registry import launcher_named
    from deft.shards.worker import run_shard
    from deft.steps.shard import approved_folder

    found = approved_folder(folder)
    if ids:
        became = {f"{number:05d}": run_shard(found, number, attempt) for number in map(_number, ids)}
        emit({"status": "done", "folder": str(found.root), "became": became}, _became_text)
        return
    done = run_missing(found, launcher_named(launcher, workers), for_terminal())
    following = f"deft shard reduce {found.root}"
    record = {"status": "done", "folder": str(found.root), "shards": len(found.shards), "done_now": done}
    emit({**record, "next": following}, step_text)


def _number(text: str) -> int:
    """Read the number of a shard, or take the task's own."""
    if text == AUTO:
        given = [os.environ[name] for name in TASK_VARIABLES if os.environ.get(name)]
        if not given:
            raise click.UsageError(f"--id auto needs {' or '.join(TASK_VARIABLES)}")
        text = given[0]
    if not text.isdecimal():
        raise click.UsageError(f"no number of a shard: {text}")
    return int(text)


def _became_text(record: dict[str, Any]) -> str:
    return "\n".join(f"shard {number}: {what}" for number, what in record["became"].items())


@shard_group.command("reduce")
@click.argument("folder", type=PATH)
def reduce(folder: Path) -> None:
    """Verify every shard and make one result: embeddings.parquet, or mined.parquet and its evidence."""
    from deft.steps.shard import approved_folder, reduce_shards

    emit({"status": "done", **reduce_shards(approved_folder(folder))}, step_text)
