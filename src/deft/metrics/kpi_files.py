"""What the KPI analysis of a scored table leaves on disk.

The files and lines are those of the public analysis script, cell by cell (contracts/tao-commands.md section
7b), so that whatever reads them goes on working; `kpi.json` is added, and is what this package itself reads.
Where they differ on purpose, references/tao-differences.yaml says so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deft.errors import InputRefused, UsageError
from deft.files import write_bytes
from deft.metrics import charts
from deft.metrics.kpi import SCHEMA_VERSION, kpi_figures
from deft.metrics.kpi_analysis import KpiAnalysis, analyse, metrics_table, missed_rows
from deft.metrics.kpi_summary import (
    CONFUSION_AT_100,
    CONFUSION_AT_BEST,
    HISTOGRAM,
    METRICS,
    MISSED,
    SUMMARY,
    printed_lines,
    summary_text,
)

RECORD = "kpi.json"
MOST_BINS = 10_000


def analyze(
    csv_path: Path,
    output_dir: Path,
    *,
    label_column: str = "label",
    score_column: str = "siamese_score",
    pass_label: str = "PASS",
    bins: int = 40,
) -> dict[str, Any]:
    """Analyse a scored table and write its KPI files; return {kpi, files, lines}.

    `kpi` is the record of kpi.json, `files` the paths written, `lines` what the original prints. Labels are
    compared without case and surrounding blanks, as the original does. Raises InputRefused for a table
    without rows or with a score that is no number, UsageError for a senseless number of bins; nothing is
    written then.
    """
    if not 1 <= bins <= MOST_BINS:
        raise UsageError(
            f"a histogram has 1 to {MOST_BINS:,} bins",
            value=f"--bins {bins}",
            hint="leave it out for 40: a picture is about a thousand pixels wide",
        )
    analysis = analyse(csv_path, label_column, score_column, pass_label)
    kpi = kpi_record(analysis)
    pictures = _pictures(analysis, bins)
    missed = missed_rows(analysis)
    contents = {
        METRICS: _crlf_csv(metrics_table(analysis.points)),
        SUMMARY: summary_text(analysis, len(missed), list(pictures)).encode(),
        MISSED: _crlf_csv(missed),
        **pictures,
        RECORD: (json.dumps(kpi, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(),
    }
    for name, content in contents.items():
        write_bytes(output_dir / name, content)
    lines = printed_lines(analysis, csv_path, output_dir, len(missed), list(pictures))
    return {"kpi": kpi, "files": [output_dir / name for name in contents], "lines": lines}


def kpi_record(analysis: KpiAnalysis) -> dict[str, Any]:
    """Return the record of kpi.json of an analysed table."""
    labels = np.where(
        analysis.is_defect, analysis.table[analysis.label_column].str.strip().str.lower(), "PASS"
    )
    table = analysis.table.assign(label=labels, siamese_score=analysis.scores)
    try:
        return kpi_figures(table)
    except (
        InputRefused
    ) as refusal:  # one class: the original still writes its files, so a record says why not
        counts = {"pass_rows": analysis.points.pass_rows, "defect_rows": analysis.points.defect_rows}
        return {
            "schema_version": SCHEMA_VERSION,
            "rows": len(table),
            **counts,
            "unavailable": refusal.message(),
        }


def _crlf_csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\r\n", na_rep="nan").encode()


def _pictures(analysis: KpiAnalysis, bins: int) -> dict[str, bytes]:
    threshold = analysis.at_100.threshold if analysis.at_100 else None
    pictures = {
        HISTOGRAM: charts.score_histogram(analysis.scores, analysis.is_defect, threshold, bins=bins),
        CONFUSION_AT_BEST: charts.confusion_matrix(analysis.best, "At the best F1"),
    }
    if analysis.at_100:
        pictures[CONFUSION_AT_100] = charts.confusion_matrix(analysis.at_100, "At 100 % recall")
    return pictures
