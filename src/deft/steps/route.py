"""Divide weak samples between mining and generation, outside a loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from deft import files
from deft.platforms.base import Platform
from deft.preflight.settings import DEFAULT, USER
from deft.progress import Progress
from deft.stages.routing import GAP_COLUMNS, route, uncovered_labels, write_routing
from deft.steps.gate import Record, Step, require_files
from deft.workspace.rows import read_table

KIND = "route"
WRITES = ("mining_gaps.parquet", "anomalygen_gaps.parquet", "routing_summary.txt")


@dataclass(frozen=True)
class RouteRequest:
    """Gaps to divide: `by_label` None or False sends all to mining (pre-generated pairs are there)."""

    gaps: Path
    pool: Path
    output: Path
    by_label: bool | None = None

    def step(self) -> Step:
        """Check both tables and say what would happen."""
        require_files([self.gaps, self.pool])
        rule = {None: (), True: ("--by-label",), False: ("--pregen",)}[self.by_label]
        arguments = (str(self.gaps), "--pool", str(self.pool), *rule, "--output", str(self.output))
        by_label = {"value": bool(self.by_label), "source": DEFAULT if self.by_label is None else USER}
        return Step(
            kind=KIND,
            arguments=(KIND, *arguments),
            inputs=(self.gaps, self.pool),
            settings={"by_label": by_label},
            results=self.output / "routing_results",
            writes=WRITES,
            calls={},
            advice=uncovered_labels(self._read_gaps()["label"], self._pool_labels()),
        )

    def work(self, folder: Path, platform: Platform, progress: Progress) -> Record:
        """Write the two queues."""
        gaps = self._read_gaps()
        labels = set(self._pool_labels()) if self.by_label else None
        mining, anomalygen = route(gaps, labels)
        write_routing(folder, gaps, mining, anomalygen)
        return {"weak": len(gaps), "to_mining": len(mining), "to_generation": len(anomalygen)}

    def _read_gaps(self) -> pd.DataFrame:
        return files.read_parquet(self.gaps, required=GAP_COLUMNS)

    def _pool_labels(self) -> pd.Series:
        return read_table(self.pool)["label"]
