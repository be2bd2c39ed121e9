"""Read and analyse a scored table as the public KPI analysis does (contracts/tao-commands.md section 7b)."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from deft.errors import InputRefused
from deft.files import read_text, require_columns
from deft.metrics.operating_points import (
    FIRST_DATA_ROW,
    Flags,
    Floats,
    OperatingPoint,
    Sweep,
    best_f1,
    operating_point,
    sweep,
)


@dataclass(frozen=True)
class KpiAnalysis:
    """A scored table, its sweep, and the two points that the files tell about."""

    table: pd.DataFrame
    scores: Floats
    is_defect: Flags
    points: Sweep
    at_100: OperatingPoint | None
    best: OperatingPoint
    pass_label: str
    label_column: str
    score_column: str


def analyse(csv_path: Path, label_column: str, score_column: str, pass_label: str) -> KpiAnalysis:
    """Sweep a scored table; labels are compared without case and surrounding blanks.

    Raises InputRefused without rows, without a column, and for a score that is no number.
    """
    table = _read_table(csv_path, [label_column, score_column])
    is_defect = (table[label_column].str.strip().str.upper() != pass_label.strip().upper()).to_numpy(
        dtype=bool
    )
    points = sweep(table[score_column], is_defect)
    return KpiAnalysis(
        table=table,
        scores=table[score_column].to_numpy(dtype=np.float64),
        is_defect=is_defect,
        points=points,
        at_100=operating_point(points, 1.0) if points.defect_rows else None,
        best=best_f1(points),
        pass_label=pass_label,
        label_column=label_column,
        score_column=score_column,
    )


def labels_of(csv_path: Path, label_column: str) -> list[tuple[str, int]]:
    """Return each label of a scored table and its rows, the most frequent first."""
    labels = _read_table(csv_path, [label_column])[label_column]
    return Counter(labels.str.strip()).most_common()


def _read_table(path: Path, required: Sequence[str]) -> pd.DataFrame:
    """Read text cells as the original does: a surplus cell is dropped, blank lines are no rows."""
    try:
        header, *rows = [row for row in csv.reader(io.StringIO(read_text(path), newline="")) if row] or [[]]
    except csv.Error as error:
        raise InputRefused(f"table is not readable CSV ({error})", value=path) from None
    if not header:  # said as `read_table` says it of a training table
        raise InputRefused(f"table lacks {', '.join(required)} (it has no columns)", value=path)
    if len(set(header)) < len(header):
        raise InputRefused("table has a column twice", value=path)
    require_columns(pd.DataFrame(columns=header), required, path)
    cells = 1 + max(header.index(name) for name in required)
    short = next((i for i, row in enumerate(rows, FIRST_DATA_ROW) if len(row) < cells), None)
    if short is not None:
        raise InputRefused(f"row {short} has no label or no score: it has fewer cells", value=path)
    filled = [row[: len(header)] + [""] * (len(header) - len(row)) for row in rows]
    return pd.DataFrame(filled, columns=header, dtype=str)


def metrics_table(points: Sweep) -> pd.DataFrame:
    """Return the confusion counts and ratios of every candidate; an undefined ratio is NaN here, not 0."""
    called = points.tp + points.fp
    precision = np.where(called > 0, points.precision, np.nan)
    recall = np.where(points.tp + points.fn > 0, points.recall, np.nan)
    defined = ~np.isnan(precision) & ~np.isnan(recall) & (points.tp > 0)
    return pd.DataFrame(
        {
            "threshold": points.thresholds,
            "tp": points.tp,
            "fp": points.fp,
            "tn": points.tn,
            "fn": points.fn,
            "precision": precision,
            "recall": recall,
            "f1": np.where(defined, points.f1, np.nan),
            "accuracy": (points.tp + points.tn) / (points.pass_rows + points.defect_rows),
            "far": points.far,
            "predicted_no_pass_count": called,
            "actual_no_pass_count": points.defect_rows,
            "actual_pass_count": points.pass_rows,
        }
    )


def missed_rows(analysis: KpiAnalysis) -> pd.DataFrame:
    """Return the defects that the best-F1 threshold calls PASS, weakest first, with what was decided."""
    positions = np.flatnonzero(analysis.is_defect & (analysis.scores <= analysis.best.threshold))
    positions = positions[np.argsort(analysis.scores[positions], kind="stable")]
    return analysis.table.iloc[positions].assign(
        analysis_row_index=positions + FIRST_DATA_ROW,
        analysis_score=analysis.scores[positions],
        analysis_threshold=analysis.best.threshold,
        analysis_actual_label_group="NO_PASS",
        analysis_predicted_label_group=analysis.pass_label,
        analysis_outcome="MISSED_NO_PASS",
    )
