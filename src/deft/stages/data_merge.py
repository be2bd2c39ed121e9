"""Assemble the next training table and prove it: every earlier row once more, nothing leaks, all resolve."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pyarrow as pa

from deft import files
from deft.errors import StageFailed
from deft.stages.base import Outcome, Record, Stage, StageContext
from deft.workspace.image_columns import resolve_images
from deft.workspace.layout import Workspace, phase_name
from deft.workspace.leakage import LeakageReport, Side, assert_disjoint, find_overlaps
from deft.workspace.rows import (
    COLUMNS,
    REQUIRED,
    ImageLayout,
    prefix_rows,
    read_table,
    write_table,
)
from deft.workspace.sides import workspace_sides
from deft.workspace.text_columns import text_blocks
from deft.workspace.training_spec import (
    TrainingSettings,
    images_folder,
    prove_spec,
    read_baseline_spec,
    training_spec,
)

SOURCE = "source"


class DataMerge(Stage):
    """Append the mined rows to everything that was trained on before."""

    name: ClassVar[str] = "data_merge"

    def place(self, context: StageContext) -> Path:
        return context.phase.dataset

    def reads(self, context: StageContext) -> list[Path]:
        workspace = context.run.workspace
        return [
            workspace.baseline_spec,
            _previous_table(context),
            context.phase.mining_filter / "mining_pool.csv",
            workspace.validation_table,
            workspace.kpi_table,
        ]

    def parameters(self, context: StageContext) -> Record:
        return {"epochs": context.setting("num_epochs"), "incumbent": context.incumbent}

    def work(self, context: StageContext, folder: Path) -> Outcome:
        before, mined = previous_rows(context), read_mined(context)
        combined = pd.concat([before, mined], ignore_index=True)
        layout = ImageLayout.from_spec(read_baseline_spec(context.run.workspace))
        resolve_images(combined, context.run.workspace.root, layout)
        leakage = _require_disjoint(combined, context.run.workspace, layout)
        table = write_table(folder / context.phase.combined_table.name, combined[list(COLUMNS)])
        provenance = combined[[SOURCE, "provenance", *REQUIRED]]
        files.write_csv(folder / context.phase.combined_provenance.name, provenance)
        require_retained(before, combined)
        require_written(table, combined)
        self._write_spec(context, folder, table)
        self._write_validation(folder, combined, leakage)
        shares = combined[SOURCE].value_counts()
        return Outcome(
            summary=f"{len(combined)} training rows, {len(mined)} of them new",
            values={
                "combined_training_csv": table,
                "provenance_csv": folder / context.phase.combined_provenance.name,
                "merge_validation_report": folder / context.phase.merge_validation.name,
                "training_rows": {str(name): int(count) for name, count in shares.items()},
            },
            events=tuple(leakage.sentences()),
        )

    def _write_spec(self, context: StageContext, folder: Path, table: Path) -> None:
        workspace = context.run.workspace
        warm_start = Path(context.figures(context.incumbent)["best_ckpt_path"])
        spec = training_spec(
            read_baseline_spec(workspace),
            workspace,
            TrainingSettings.from_plan(context.plan),
            combined_table=table,
            warm_start=warm_start,
        )
        prove_spec(spec)
        final = str(context.phase.combined_table)
        spec["dataset"]["classify"]["train_dataset"]["csv_path"] = final
        files.write_yaml(folder / context.phase.training_spec.name, spec)

    def _write_validation(self, folder: Path, combined: pd.DataFrame, leakage: LeakageReport) -> None:
        record = {
            "status": "ok",
            "rows_checked": len(combined),
            "missing_file_count": 0,
            "train_val_leakage_overlap_count": len(leakage.identical),
            "trivial_overlap_count": len(leakage.trivial),
            "lossy_candidate_count": len(leakage.lossy),
        }
        files.write_json(folder / "merge_validation.json", record)


def _previous_table(context: StageContext) -> Path:
    if context.phase.number == 1:
        return context.run.workspace.training_table
    return context.run.phase(phase_name(context.phase.number - 1)).combined_table


def previous_rows(context: StageContext) -> pd.DataFrame:
    """Return all rows trained on so far, relative to the workspace root, with where they came from.

    The user's rows get their image root as prefix once, at iteration 1; a combined table never again.
    """
    table = read_table(_previous_table(context))
    if context.phase.number == 1:
        workspace = context.run.workspace
        root = images_folder(read_baseline_spec(workspace), "train", workspace)
        prefixed = prefix_rows(table, _prefix(root, workspace))
        return prefixed.assign(source="base_train", provenance="base")
    previous = context.run.phase(phase_name(context.phase.number - 1))
    known = files.read_csv(previous.combined_provenance, required=(SOURCE, "provenance"))
    return table.assign(source="previous_iter_train", provenance=known["provenance"])


def _prefix(root: Path, workspace: Workspace) -> str:
    if root.is_relative_to(workspace.root):
        return root.relative_to(workspace.root).as_posix()
    return root.as_posix()


def read_mined(context: StageContext) -> pd.DataFrame:
    """Return the newly mined rows; a control run without mining has none."""
    path = context.phase.mining_filter / "mining_pool.csv"
    if context.figures(context.phase.name)["mining_mined_count"] == 0:
        return pd.DataFrame(columns=[*COLUMNS, SOURCE, "provenance"])
    return read_table(path).assign(source="mining_pool")


def require_retained(before: pd.DataFrame, combined: pd.DataFrame) -> None:
    """Refuse a table that lost one of the rows it must hold, counted as a multiset."""
    if _begins_with(combined, before):
        return
    needed = Counter(map(tuple, before[list(COLUMNS)].to_numpy()))
    needed.subtract(map(tuple, combined[list(COLUMNS)].to_numpy()))
    lost = [row for row, count in needed.items() if count > 0]
    if lost:
        raise StageFailed("combined table lost earlier rows", value=len(lost))


def _begins_with(combined: pd.DataFrame, before: pd.DataFrame) -> bool:
    """Say whether the earlier rows stand in front as they were: so they do, unless something is wrong."""
    if len(combined) < len(before):
        return False
    front = combined.head(len(before)).set_axis(before.index)
    return all(bool((front[name] == before[name]).all()) for name in COLUMNS)


def require_written(path: Path, table: pd.DataFrame) -> None:
    """Refuse a file whose rows, read again in blocks, are not those of the table that it was written from."""
    begin = 0
    for block in text_blocks(path, REQUIRED):
        rows = table.iloc[begin : begin + len(block)]
        meant = pa.Table.from_pandas(rows[list(COLUMNS)], schema=block.schema, preserve_index=False)
        if not pa.table(block).combine_chunks().equals(meant.combine_chunks()):
            raise StageFailed("table does not read back as it was written", value=path)
        begin += len(block)
    if begin != len(table):
        raise StageFailed("table does not read back as it was written", value=path)


def _require_disjoint(combined: pd.DataFrame, workspace: Workspace, layout: ImageLayout) -> LeakageReport:
    sides = workspace_sides(workspace, ("validation", "kpi", "holdout"))
    train = Side.of_table("train", combined, workspace.root, layout)
    report = find_overlaps([train, *sides], against="train")
    assert_disjoint(report)
    return report
