"""Send every weak sample somewhere: with pre-generated pairs, all of them to mining.

The router is a partition: its parts must sum to its input, so a silent drop cannot happen.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pandas as pd

from deft import files
from deft.errors import StageFailed
from deft.stages.base import Outcome, Stage, StageContext
from deft.untrusted import untrusted
from deft.workspace.components import join_gaps, kpi_components
from deft.workspace.rows import PASS, read_table

GAP_COLUMNS = ("filepath", "label", "siamese_score", "weakness")


class Routing(Stage):
    """Copy the gaps of the last analysis into the mining queue."""

    name: ClassVar[str] = "routing"
    timestamped: ClassVar[bool] = True

    def place(self, context: StageContext) -> Path:
        return context.phase.routing_results

    def reads(self, context: StageContext) -> list[Path]:
        workspace = context.run.workspace
        return [gaps_of_previous_phase(context), workspace.kpi_table, workspace.mining_pool_table]

    def work(self, context: StageContext, folder: Path) -> Outcome:
        found = files.read_parquet(gaps_of_previous_phase(context), required=GAP_COLUMNS)
        gaps = join_gaps(found, kpi_components(context.run.workspace))
        mining, anomalygen = route(gaps, mining_labels=None)
        write_routing(folder, gaps, mining, anomalygen)
        covered = read_table(context.run.workspace.mining_pool_table)["label"]
        return Outcome(
            summary=f"{len(mining)} of {len(gaps)} weak samples to mining",
            values={
                "routing_mining_parquet": folder / "mining_gaps.parquet",
                "routing_anomalygen_parquet": folder / "anomalygen_gaps.parquet",
            },
            events=(*uncovered_labels(gaps["label"], covered), *left_to_generation(anomalygen)),
        )


def gaps_of_previous_phase(context: StageContext) -> Path:
    """Return the gaps that the phase before this one found."""
    previous = "baseline" if context.phase.number == 1 else f"iter{context.phase.number - 1}"
    return Path(context.figures(previous)["rca_gaps_parquet"])


def route(gaps: pd.DataFrame, mining_labels: set[str] | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split gaps into those that mining can serve and the rest for generation.

    `mining_labels` None means that pre-generated pairs exist and everything goes to mining.
    """
    if mining_labels is None:
        to_mining = pd.Series(True, index=gaps.index)
    else:
        wanted = {label.upper() for label in mining_labels}
        to_mining = gaps["label"].str.strip().str.upper().isin(wanted)
    mining, anomalygen = gaps[to_mining], gaps[~to_mining]
    if len(mining) + len(anomalygen) != len(gaps):
        raise StageFailed("router lost weak samples", value=len(gaps))
    return mining, anomalygen


def write_routing(folder: Path, gaps: pd.DataFrame, mining: pd.DataFrame, anomalygen: pd.DataFrame) -> None:
    """Write the two queues and the summary of routing_results/<TS>/."""
    files.write_parquet(folder / "mining_gaps.parquet", mining)
    files.write_parquet(folder / "anomalygen_gaps.parquet", anomalygen)
    lines = [
        f"Total weak samples: {len(gaps)}",
        f"Mining subset: {len(mining)}",
        f"AnomalyGen subset: {len(anomalygen)}",
        "",
        "Per-label breakdown (count, mining, anomalygen):",
    ]
    for label, rows in gaps.groupby("label", sort=True):
        sent = int((mining["label"] == label).sum())
        lines.append(f"  {untrusted(label)}: {len(rows)}, {sent}, {len(rows) - sent}")
    files.write_text(folder / "routing_summary.txt", "\n".join(lines) + "\n")


def left_to_generation(rows: pd.DataFrame) -> tuple[str, ...]:
    """Say how many weak samples nobody will serve: generation itself is never run."""
    return (f"{len(rows)} weak samples are left to generation, which is not run",) if len(rows) else ()


def uncovered_labels(weak: pd.Series, pool: pd.Series) -> tuple[str, ...]:
    """Name the labels that are weak and of which the real pool holds no example."""
    missing = sorted(set(weak) - set(pool) - {PASS})
    if not missing:
        return ()
    return (f"the real pool holds no example of {', '.join(missing)}",)
