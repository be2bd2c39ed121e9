"""Ingest the pre-generated pairs: build the source pool once, and prove each time that it is unchanged.

AnomalyGen itself is never run: the user generated the pairs beforehand (seed 001).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

from deft import files
from deft.errors import InputRefused
from deft.stages.base import Outcome, Stage, StageContext
from deft.workspace.rows import ImageLayout
from deft.workspace.source_pool import PoolSources, build_source_pool, read_sources
from deft.workspace.training_spec import read_baseline_spec


class Anomalygen(Stage):
    """Build `synth_pool/` in the first iteration; afterwards only account for it."""

    name: ClassVar[str] = "anomalygen"

    def place(self, context: StageContext) -> Path:
        return context.phase.anomalygen

    def reads(self, context: StageContext) -> list[Path]:
        return [context.run.workspace.mining_pool_table]

    def parameters(self, context: StageContext) -> dict[str, object]:
        return {"pool_digest": context.plan["pool"]["digest"]}

    def work(self, context: StageContext, folder: Path) -> Outcome:
        workspace = context.run.workspace
        layout = ImageLayout.from_spec(read_baseline_spec(workspace))
        sources = read_sources(workspace, layout)
        _require_agreed(sources.digest, context)
        manifest = context.run.synth_pool.manifest
        if not manifest.is_file():
            self._build(context, layout, sources)
        pool = files.read_json(manifest)
        counts = pool["counts"]
        summary = {"manifest": "synth_pool/manifest.json", "digest": pool["digest"], **counts}
        files.write_json(folder / "ingest_summary.json", summary)
        return Outcome(
            summary=f"{counts['sdg_rows']} synthetic and {counts['real_rows']} real rows in the pool",
            values={"anomalygen_ingest": folder / "ingest_summary.json"},
        )

    def _build(self, context: StageContext, layout: ImageLayout, sources: PoolSources) -> None:
        final = context.run.synth_pool.root
        building = final.with_name("synth_pool.attempt")
        shutil.rmtree(building, ignore_errors=True)
        build_source_pool(context.run.workspace, building, layout, final=final, sources=sources)
        building.rename(final)
        files.sync_folder(final.parent)


def _require_agreed(found: str, context: StageContext) -> None:
    agreed = context.plan["pool"]["digest"]
    if found != agreed:
        raise InputRefused(
            "mining pool or pre-generated pairs changed during the run",
            value=f"{found[:12]}, approved was {agreed[:12]}",
            hint="restore the files, or deft preflight for a new run",
        )
