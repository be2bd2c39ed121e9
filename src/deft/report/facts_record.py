"""`facts.json` beside a report: every figure the report may name, what it must hold, and its generated part.

Whoever checks a finished report compares it with this record alone: a number in the prose is a fact (as it
stands, or in percent), each section and label is there, and the generated part is unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deft import files
from deft.report.markdown import cleaned, unwritten, with_prose_of, without_prose, word_count

NAME = "facts.json"
SCHEMA_VERSION = 1
Record = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """A rendered report: its file name, text, figures, and the sections, labels and artifacts it covers.

    `asks` says what each block wants of its writer, `signals` how often the figures call for which action.
    """

    name: str
    text: str
    facts: Mapping[str, object]
    sections: Sequence[str]
    labels: Sequence[str]
    artifacts: Sequence[str]
    asks: Mapping[str, str]
    signals: Mapping[str, int] = field(default_factory=dict)


def publish(folder: Path, report: Report) -> Record:
    """Write a report and its facts into a folder, keep prose that was written before, and say what is left.

    The answer holds the path, its words, and what is asked of the writer of each block that still waits.
    """
    path = folder / report.name
    text = with_prose_of(report.text, path)
    files.write_text(path, text)
    files.write_json(folder / NAME, facts_record(report))
    write = {name: report.asks[name] for name in unwritten(text)}
    return {"report": str(path), "words": word_count(text), "write": write}


def facts_record(report: Report) -> Record:
    """Return the record that is facts.json; figures without a value are left out."""
    signals = {f"signal.{name}": count for name, count in report.signals.items()}
    facts = {name: _fact(value) for name, value in {**report.facts, **signals}.items()}
    return {
        "schema_version": SCHEMA_VERSION,
        "report": report.name,
        "facts": {name: value for name, value in facts.items() if value is not None},
        "sections": list(report.sections),
        "labels": [cleaned(label) for label in report.labels],
        "artifacts": list(report.artifacts),
        "generated_sha256": files.sha256_of_bytes(without_prose(report.text).encode("utf-8")),
    }


def _fact(value: object) -> float | int | str | None:
    if value is None or isinstance(value, bool):
        return None if value is None else str(value).lower()
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return cleaned(value)
