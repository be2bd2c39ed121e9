"""One step alone: plan it, let the user approve it, do it by repeating the same command."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deft.cli.output import emit, say, wants_json
from deft.errors import NotApproved, StageFailed

if TYPE_CHECKING:
    from deft.steps.experiment import Experiment
    from deft.steps.gate import Record, Request

PATH = click.Path(path_type=Path)


class FiniteFloat(click.FloatRange):
    """A number in a range; click lets NaN into every range, and infinity into an open one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; one that is not finite is refused as one out of range is."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a finite number", param, ctx)
        return found


SHARE = FiniteFloat(0, 1)


def _canonical(_: click.Context, __: click.Parameter, name: str) -> str:
    """Let a plan hold the platform's own name, whichever alias was typed."""
    from deft.platforms.registry import canonical_name

    return canonical_name(name)


_platform = click.option(
    "--platform", default="embedded", show_default=True, callback=_canonical, help="Where tool calls run."
)
_spec = click.argument("spec", type=PATH)
_overrides = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")


def absolute(path: Path) -> Path:
    """Return the real path: a plan is the same from any folder."""
    return path.expanduser().resolve()


def carry_out_step(request: Request, platform: str = "embedded") -> Record:
    """Do an approved step and return its record; without an approval show the plan and raise NotApproved."""
    from deft.platforms.registry import platform_named
    from deft.progress import for_terminal
    from deft.steps.gate import carry_out, plan_of, plan_text

    step = request.step()
    plan = plan_of(step)
    machine = platform_named(platform, plan["platform_settings"])
    try:
        found, folder = carry_out(request, step, plan, machine, for_terminal())
    except NotApproved:
        say(plan_text(plan), err=wants_json())
        raise
    return {"status": "done", "folder": str(folder), **found}


def _tell(record: Record) -> None:
    emit(record, step_text)


def step_text(record: dict[str, Any]) -> str:
    """Return what a step found as lines for people."""
    shown = {name: value for name, value in record.items() if name not in ("status", "warnings", "next")}
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in shown.items() if value is not None]
    lines += [f"warning: {line}" for line in record.get("warnings", [])]
    return "\n".join(lines + ([f"next: {record['next']}"] if "next" in record else []))


@click.command("analyze-gaps")
@click.argument("experiment_dir", type=PATH)
@click.option("--train-config", type=PATH, required=True, help="Training spec: lights and image extension.")
@click.option("--media-path", type=PATH, required=True, help="Root of the table's image paths.")
@click.option("--threshold", type=FiniteFloat(min=0), help="Take this threshold (it is swept).")
@click.option("--min-recall", type=SHARE, help="Recall the threshold must keep (1.0).")
@click.option("--top-k-per-label", type=click.IntRange(min=1), help="Weakest rows kept of each label (50).")
@click.option("--output", type=PATH, help="Where rca_results/ goes (the experiment).")
@_platform
def analyze_gaps(
    experiment_dir: Path, train_config: Path, media_path: Path, output: Path | None, **given: Any
) -> None:
    """Find the weakest rows of an inference table, and draw ten of them beside their goldens.

    Example: deft analyze-gaps baseline --train-config train.yaml --media-path kpi/images
    """
    from deft.steps.analyze_gaps import COMPONENTS, GapRequest

    request = GapRequest(
        experiment=absolute(experiment_dir),
        train_config=absolute(train_config),
        media_path=absolute(media_path),
        output=absolute(output) if output else None,
        **given,
    )
    record = carry_out_step(request, given["platform"])
    if "unreachable" in record:
        raise StageFailed(
            record["unreachable"], value=record["folder"], hint="retrain or relabel; no threshold helps"
        )
    following = f"deft route {record['folder']}/{COMPONENTS} --pool MINING_POOL.csv --output FOLDER"
    _tell({**record, "next": following})


@click.command()
@click.argument("gaps", type=PATH)
@click.option("--pool", type=PATH, required=True, help="Table of the mining pool.")
@click.option(
    "--pregen/--by-label",
    "pregen",
    default=None,
    help="All to mining (there are pre-generated pairs), or only the labels that the pool holds.",
)
@click.option("--output", type=PATH, required=True, help="Where routing_results/ goes.")
def route(gaps: Path, pool: Path, pregen: bool | None, output: Path) -> None:
    """Divide the weak samples of an analysis between mining and generation; none is dropped."""
    from deft.steps.route import RouteRequest

    by_label = None if pregen is None else not pregen
    record = carry_out_step(RouteRequest(absolute(gaps), absolute(pool), absolute(output), by_label))
    following = f"deft mine {record['folder']}/mining_gaps.parquet POOL --output-dir FOLDER"
    _tell({**record, "next": following})


@click.command()
@click.argument("targets", type=PATH)
@click.argument("pool", type=PATH)
@click.option("--output-dir", type=PATH, required=True, help="Where mining_results/ goes.")
@click.option("--encoder", help="SigLIP, CLIP or deft_pair.")
@click.option("--encoder-path", help="Local folder, hub id, or the pair encoder's checkpoint.")
@click.option("--top-k", "top_k_per_target", type=int, help="Neighbours of each target (5).")
@click.option("--metric", "knn_metric", help="cosine, euclidean or manhattan.")
@click.option("--filter-by-label", help="class, label or none.")
@click.option("--min-similarity", help="A cosine (0.9), a percentile of the pool (p25), or none.")
@click.option("--synthetic-share", type=SHARE, help="Largest share of synthetic rows among the mined.")
@click.option("--index", help="exact, or ivf: by faiss, with its measured recall (exact where below 0.99).")
@_platform
def mine(targets: Path, pool: Path, output_dir: Path, platform: str, index: str | None, **given: Any) -> None:
    """Find look-alikes of weak samples in a pool, Parquet or CSV; a pool with vectors is not embedded again.

    Example: deft mine mining_gaps.parquet source_pool.parquet --output-dir iter1
    """
    from deft.steps.mine import MiningRequest

    if given["encoder_path"] and Path(given["encoder_path"]).expanduser().exists():
        given["encoder_path"] = str(absolute(Path(given["encoder_path"])))
    request = MiningRequest(
        targets=absolute(targets),
        pool=absolute(pool),
        output=absolute(output_dir),
        platform=platform,
        given=given,
        index=index,
    )
    _tell(carry_out_step(request, platform))


def _experiment(spec: Path, overrides: Sequence[str]) -> Experiment:
    """Read the words after a spec in the container's grammar; only known keys change."""
    from deft.errors import UsageError
    from deft.steps.experiment import Experiment
    from deft.tools.grammar import parse_override

    changes = [parse_override(word) for word in overrides]
    added = [change.text for change in changes if change.mode]
    if added:
        raise UsageError("only key=value is taken here", value=added[0], hint="write the key into the spec")
    return Experiment(absolute(spec), {change.key: change.value for change in changes})


@click.command()
@_spec
@_overrides
@_platform
def train(spec: Path, overrides: tuple[str, ...], platform: str) -> None:
    """Train the comparison network on a spec.

    Example: deft train train.yaml train.num_epochs=30 train.results_dir=out/train
    """
    from deft.steps.train import TrainRequest

    _tell(carry_out_step(TrainRequest(_experiment(spec, overrides), platform), platform))


@click.command()
@_spec
@_overrides
@_platform
def evaluate(spec: Path, overrides: tuple[str, ...], platform: str) -> None:
    """Score the spec's test table and compute its figures: FAR at full recall, curve, histogram.

    Example: deft evaluate train.yaml evaluate.checkpoint=model.pth evaluate.results_dir=out/evaluate
    """
    from deft.steps.evaluate import EvaluateRequest

    _tell(carry_out_step(EvaluateRequest(_experiment(spec, overrides), platform), platform))


@click.command()
@_spec
@_overrides
@_platform
def infer(spec: Path, overrides: tuple[str, ...], platform: str) -> None:
    """Score the spec's infer table without judging it.

    Example: deft infer train.yaml inference.checkpoint=model.pth inference.results_dir=out/inference
    """
    from deft.steps.infer import InferRequest

    _tell(carry_out_step(InferRequest(_experiment(spec, overrides), platform), platform))
