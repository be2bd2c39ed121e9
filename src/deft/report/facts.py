"""Gather what a report says from a run folder alone: no clock, no network, no state of this process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from deft import files
from deft.metrics.confidence import rows_to_prove
from deft.metrics.figure_text import far_recall, figure_text, measure
from deft.metrics.target import Target, rows_needed
from deft.run.log import read
from deft.run.places import Places
from deft.run.state import fold
from deft.workspace.components import kpi_components
from deft.workspace.layout import RunFolder, Workspace
from deft.workspace.rows import FIRST_DATA_ROW
from deft.workspace.safe_path import Roots, safe_path
from deft.workspace.training_spec import data_roots

Record = dict[str, Any]
Look = tuple[int, ...]
MOST_REMEMBERED = 16
WEAKEST = 10
MINED_TARGETS = 6
SHOWN_RECALLS = (1.0, 0.995, 0.99)
"""Where FAR is shown of every model, whatever the target."""


@dataclass(frozen=True)
class RunFacts:
    """Everything a report can say about one run."""

    run: RunFolder
    plan: Record
    entries: list[Record]
    state: Record

    @classmethod
    def of(cls, run: RunFolder) -> RunFacts:
        """Read plan and log of a run and fold them."""
        plan = files.read_json(run.plan)
        entries = read(run.log)
        return cls(run, plan, entries, fold(plan, entries))

    @property
    def target(self) -> Target:
        return Target.from_record(self.plan["target"])

    @property
    def evaluated(self) -> dict[str, Record]:
        """The phases that have figures, in order."""
        return {name: phase for name, phase in self.state["iterations"].items() if phase.get("kpi")}

    @property
    def incumbent(self) -> Record:
        return dict(self.evaluated.get(self.state["incumbent"], {}))

    def place(self, recorded: str) -> Path:
        """Return a recorded path where it is now: run and workspace may have been moved, or the run alone."""
        return Places.of(self.run, self.plan).existing(recorded)

    def scores(self, phase: str) -> pd.DataFrame:
        """Return the scored KPI table of a phase."""
        path = self.place(self.evaluated[phase]["inference_csv"])
        return _scores(path, files.look_of(path))

    def rows_to_prove(self) -> str:
        """Say how many rows, without one error, would prove the target at 95 % confidence."""
        passing, defects = rows_needed(self.target)
        parts = [f"{passing:,} PASS rows"] if passing else []
        parts += [f"{defects:,} defect rows"] if defects else []
        proof = f"To prove the target: {' and '.join(parts)} without one error." if parts else ""
        if self.target.recall_floor < 1:
            return proof
        some, more = (f"{rows_to_prove(rate):,}" for rate in (0.01, 0.001))
        never = (
            f"No number of defect rows proves 100 % recall: {some} without a miss prove 99 %, {more} 99.9 %."
        )
        return f"{proof} {never}".strip()

    def verdict(self) -> str:
        """Say in one sentence what came of the target."""
        if not self.evaluated:
            return "No model has been evaluated yet."
        goal = f"{self.target.normal_form()}{self._nearest()}"
        if any(phase["target_met"] for phase in self.evaluated.values()):
            return f"Target met: {goal}."
        reason = self.state["stop_reason"]
        ended = f"The loop ended ({reason.replace('_', ' ')})" if reason else "The loop goes on"
        return f"{ended} before the target was reached: {goal}."

    def _nearest(self) -> str:
        """Name the model nearest to the target with its figure; nothing for a run of an older version."""
        values = self._target_values
        if not values:
            return ""
        order = {
            name: (self.target.badness(values[name]), name != self.state["incumbent"]) for name in values
        }
        best = min(order, key=lambda name: order[name])
        return f" ({best}: {figure_text(self.target, values[best])})"

    @property
    def _target_values(self) -> dict[str, float | None]:
        kpis = {name: phase["kpi"] for name, phase in self.evaluated.items()}
        return {name: kpi["target_value"] for name, kpi in kpis.items() if "target_value" in kpi}

    def target_figures(self) -> dict[str, str]:
        """Return the target's figure of each phase; none where it is a FAR that is shown of every model."""
        if far_recall(self.target) in SHOWN_RECALLS:
            return {}
        return {name: figure_text(self.target, value) for name, value in self._target_values.items()}

    def target_measure(self) -> str:
        """Say what the target measures."""
        return measure(self.target)

    def events(self) -> list[tuple[str, str]]:
        """Return everything a stage said a reader must not miss, with where it was said."""
        return [
            (f"{entry['iter']} {entry['stage']}", event)
            for entry in self.entries
            for event in entry["outcome"].get("events", [])
        ]

    def weakest_pairs(self) -> list[Record]:
        """Return the ten weakest pairs of the last analysis, with the verdict where somebody looked."""
        folder = self._last_folder("rca")
        if folder is None or not (folder / "spot_check.json").is_file():
            return []
        judged = folder / "verdicts.json"
        source = judged if judged.is_file() else folder / "spot_check.json"
        found: list[Record] = files.read_json(source)["samples"][:WEAKEST]
        keys = ("filepath", "golden_filepath")
        return [{**sample, **{key: self._shown(sample[key]) for key in keys}} for sample in found]

    def _shown(self, recorded: str) -> str:
        """Return a recorded picture that lies where the run's data lies, else nothing to show."""
        return recorded if recorded and self._roots.hold(self.place(recorded)) else ""

    @cached_property
    def _roots(self) -> Roots:
        """The workspace as it is here and as it was recorded, with the image folders of its spec."""
        recorded = Workspace(Path(self.plan["workspace"]))
        both = [ws for ws in (self.run.workspace, recorded) if ws.baseline_spec.is_file()]
        folders = [folder for workspace in both for folder in data_roots(workspace).folders]
        return Roots((*Roots.of(self.run.root).folders, *folders))

    def _last_folder(self, stage: str) -> Path | None:
        for entry in reversed(self.entries):
            if entry["stage"] == stage and entry["status"] == "ok" and "folder" in entry["outcome"]:
                return safe_path(self.run.root, str(entry["outcome"]["folder"]))
        return None

    def mined_examples(self) -> list[tuple[str, list[str], float]]:
        """Return some targets of the last mining with the pool images that were kept for them."""
        folder = self._last_folder("data_mining")
        if folder is None:
            return []
        neighbours = files.read_parquet(folder / "neighbours.parquet")
        kept = neighbours[neighbours["kept"]]
        examples = []
        for target, rows in islice(kept.groupby("target_filepath", sort=False), MINED_TARGETS):
            sources = [self._shown(path) for path in rows["source_filepath"]]
            examples.append((self._shown(str(target)), sources, float(rows["similarity"].max())))
        return examples

    @cached_property
    def _components(self) -> pd.DataFrame:
        """The deciding rows of the KPI table with their images; none where the workspace is out of reach."""
        positions = [_position(phase) for phase in self.evaluated.values()]
        for workspace in (self.run.workspace, Workspace(Path(self.plan["workspace"]))):
            if workspace.kpi_table.is_file():
                read = (workspace.kpi_table, workspace.baseline_spec)
                return _deciding_rows(workspace, tuple(positions), tuple(map(files.look_of, read)))
        return pd.DataFrame()

    def deciding_picture(self, phase: Record) -> tuple[Path, Path] | None:
        """Return the image and golden of the defect that alone sets FAR at 100 % recall, if still there."""
        defect, position = phase["kpi"]["far_at_100"]["deciding_defect"], _position(phase)
        if position not in self._components.index:
            return None
        found: Record = dict(self._components.loc[position])
        if found["component_id"] != defect["component_id"]:
            return None
        return Path(self._shown(found["filepath"])), Path(self._shown(found["golden_filepath"]))

    def training_rows(self) -> list[Record]:
        """Return, per iteration, how many training rows came from where."""
        rows = []
        for name in self.state["iterations"]:
            path = self.run.phase(name).combined_provenance if name != "baseline" else None
            if path is not None and path.is_file():
                counts = files.read_csv(path)["provenance"].value_counts()
                rows.append({"phase": name, **{str(kind): int(count) for kind, count in counts.items()}})
        return rows


# A report is rendered after every stage: a table that was not written since is not read again.


@lru_cache(MOST_REMEMBERED)
def _scores(path: Path, _: Look) -> pd.DataFrame:
    table = files.read_csv(path, required=("label", "siamese_score"))
    return table.assign(siamese_score=pd.to_numeric(table["siamese_score"]))


@lru_cache(MOST_REMEMBERED)
def _deciding_rows(workspace: Workspace, positions: tuple[int, ...], _: tuple[Look, ...]) -> pd.DataFrame:
    return kpi_components(workspace, positions)


def _position(phase: Record) -> int:
    """Return the place in the KPI table of the defect that alone sets FAR at 100 % recall."""
    return int(phase["kpi"]["far_at_100"]["deciding_defect"]["row"]) - FIRST_DATA_ROW
