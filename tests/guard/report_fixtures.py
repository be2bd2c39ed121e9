"""A finished report with its facts and artifacts, as `deft report rca` and a writer leave them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

GENERATED = """# Gap analysis of run

## Verdict

| figure | value |
|---|---|
| FAR | 4.10 % |

<!-- write: verdict -->
{verdict}
<!-- /write -->

## Threshold Selection

Threshold 0.3125, 16 false alarms.

## Per-Label Breakdown

| `PASS` | 390 |
| `bridge` | 10 |

## Recommended Actions

<!-- write: recommended-actions -->
{actions}
<!-- /write -->
"""
VERDICT = "The model rejects 4.1 % of good parts, 16 of them, and misses 0 defects of `bridge_17`."
ACTIONS = "1. Mine look-alikes of the 16 rows.\n2. Relabel none."
FACTS = {"far": 0.041, "false_alarms": 16, "missed": 0, "threshold": 0.3125, "verdict": "not reached"}


def write_report(folder: Path, *, verdict: str = VERDICT, actions: str = ACTIONS) -> Path:
    """Write report, facts and artifacts into a folder; return the report."""
    folder.mkdir(parents=True, exist_ok=True)
    text = GENERATED.format(verdict=verdict, actions=actions)
    empty = GENERATED.replace("{verdict}\n", "").replace("{actions}\n", "")
    record = {
        "schema_version": 1,
        "report": "RCA_Report.md",
        "facts": FACTS,
        "sections": ["Verdict", "Threshold Selection", "Per-Label Breakdown", "Recommended Actions"],
        "labels": ["PASS", "bridge"],
        "artifacts": ["kpi_gaps.parquet", "threshold.txt"],
        "generated_sha256": hashlib.sha256(empty.encode()).hexdigest(),
    }
    (folder / "facts.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "kpi_gaps.parquet").write_bytes(b"PAR1....PAR1")
    (folder / "threshold.txt").write_text("0.3125", encoding="utf-8")
    report = folder / "RCA_Report.md"
    report.write_text(text, encoding="utf-8")
    return report
