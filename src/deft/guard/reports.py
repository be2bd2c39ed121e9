"""Whether a report says what its run says: sections, artifacts, labels and numbers.

Standard library only, Python 3.8 on. `facts.json` beside a report, written by `deft report`, holds
`{"facts": {name: value or list}, "sections": [title, ...]}`; a number in a table may be tied to one of them
by `<!-- fact:name -->` in front of it.
"""

from __future__ import annotations

import os
import re

from deft.guard.approval import read_record

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Any, Iterator

RCA, MINING = "RCA_Report.md", "Mining_Report.md"
FACTS, UNREACHABLE = "facts.json", "unreachable_kpi.txt"
VERDICT, ACTIONS, LABELS = "Verdict", "Recommended Actions", "Per-Label Breakdown"
SECTIONS = {
    RCA: (
        *(VERDICT, "Threshold Selection", "Weakness Distribution", "Top-K Weakest Samples"),
        *("Visual Spot Check", LABELS, ACTIONS),
    ),
    MINING: (
        *(VERDICT, "Inputs", "Encoder Consistency", "Mining Run"),
        *(LABELS, "Output Sanity", ACTIONS),
    ),
}
UNREACHABLE_SECTIONS = (VERDICT, "Threshold Selection", ACTIONS)
ARTIFACTS = {
    RCA: ("kpi_gaps.parquet", "threshold.txt", "metrics.json", "weak_samples_breakdown.txt"),
    MINING: ("target_embeddings.parquet", "mined.parquet", "mining_summary.txt"),
}
METRICS = ("precision", "recall", "f1", "confusion_matrix", "per_label")
HEADING = re.compile(r"^#{1,6}[ \t]+(?:\d+[.)]?[ \t]+)?(.+?)[ \t]*#*$", re.MULTILINE)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?\.?\d+(?:[eE][-+]?\d+)?(?![\w])")
THRESHOLD = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
LEAST_PROSE = 20
MAX_PROBLEMS = 6


def is_report(path: str) -> bool:
    """Say whether a file is a report of one of the steps: by its name and what lies beside it."""
    folder, name = os.path.split(path)
    beside = (FACTS, UNREACHABLE, *ARTIFACTS.get(name, ()))
    return name in SECTIONS and any(os.path.isfile(os.path.join(folder, other)) for other in beside)


def problems_of(path: str) -> list[str]:
    """Return one line a thing that is missing from a report, or that differs from its facts."""
    folder, name = os.path.split(path)
    with open(path, encoding="utf-8", errors="replace") as stream:
        text = stream.read()
    record = read_record(os.path.join(folder, FACTS)) or {}
    facts = record["facts"] if isinstance(record.get("facts"), dict) else {}
    sections = _sections(text)
    wanted = record.get("sections") or _wanted(folder, name)
    found = [
        *_missing_sections(sections, [str(title) for title in wanted]),
        *_artifact_problems(folder, name),
        *_missing_labels(folder, sections, facts),
        *_number_problems(text, facts),
        *_unknown_numbers(text, sections, facts),
    ]
    return found[:MAX_PROBLEMS]


def _wanted(folder: str, name: str) -> tuple[str, ...]:
    unreachable = name == RCA and os.path.isfile(os.path.join(folder, UNREACHABLE))
    return UNREACHABLE_SECTIONS if unreachable else SECTIONS[name]


# --- sections and artifacts ----------------------------------------------------------------------------


def _key(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", title.lower()).strip()


def _sections(text: str) -> dict[str, str]:
    """Return what stands under each heading, by the heading's words."""
    pieces = HEADING.split(text)
    return {_key(pieces[at]): pieces[at + 1] for at in range(1, len(pieces), 2)}


def _missing_sections(sections: dict[str, str], wanted: list[str]) -> Iterator[str]:
    for title in wanted:
        body = sections.get(_key(title))
        if body is None:
            yield "section missing: {}".format(title)
        elif title in (VERDICT, ACTIONS) and len(COMMENT.sub("", body).strip()) < LEAST_PROSE:
            yield "section not written yet: {}".format(title)


def _artifact_problems(folder: str, name: str) -> Iterator[str]:
    if name == RCA and os.path.isfile(os.path.join(folder, UNREACHABLE)):
        return
    for artifact in ARTIFACTS[name]:
        path = os.path.join(folder, artifact)
        if not os.path.isfile(path) or not os.path.getsize(path):
            yield "artifact missing or empty: {}".format(artifact)
        elif artifact.endswith(".parquet") and not _is_parquet(path):
            yield "artifact is no parquet table: {}".format(artifact)
    if name == RCA:
        yield from _figure_problems(folder)


def _is_parquet(path: str) -> bool:
    with open(path, "rb") as stream:
        head = stream.read(4)
        stream.seek(-4, os.SEEK_END)
        return head == stream.read(4) == b"PAR1"


def _figure_problems(folder: str) -> Iterator[str]:
    metrics = read_record(os.path.join(folder, "metrics.json"))
    if metrics is not None and not (set(METRICS) <= set(metrics) and metrics["per_label"]):
        yield "metrics.json lacks one of {}".format(", ".join(METRICS))
    threshold = os.path.join(folder, "threshold.txt")
    if os.path.isfile(threshold):
        with open(threshold, encoding="utf-8", errors="replace") as stream:
            if not THRESHOLD.fullmatch(stream.read().strip()):
                yield "threshold.txt holds no number"


def _missing_labels(folder: str, sections: dict[str, str], facts: dict[str, Any]) -> Iterator[str]:
    """Yield the labels of the run that the breakdown does not name."""
    metrics = read_record(os.path.join(folder, "metrics.json")) or {}
    per_label = metrics.get("per_label")
    labels = list(per_label) if isinstance(per_label, dict) else []
    labels += facts["labels"] if isinstance(facts.get("labels"), list) else []
    body = sections.get(_key(LABELS))
    if body is None:
        return
    missing = sorted({str(label) for label in labels if str(label).lower() not in body.lower()})
    if missing:
        yield "labels missing from {}: {}".format(LABELS, ", ".join(missing))


# --- numbers -------------------------------------------------------------------------------------------


def _number_problems(text: str, facts: dict[str, Any]) -> Iterator[str]:
    """Yield the facts that the text lacks, or states otherwise where it names them."""
    plain = COMMENT.sub("", text)
    numbers = NUMBER.findall(plain)
    for name, value in facts.items():
        marked = _marked(text, name)
        values = value if isinstance(value, list) else [value]
        for position, item in enumerate(values):
            if isinstance(item, bool) or item is None or isinstance(item, (dict, list)):
                continue
            if isinstance(item, str):
                said = item in plain
            elif marked is not None:
                said = position < len(marked) and _states(marked[position], item)
            else:
                said = any(_states(number, item) for number in numbers)
            if not said:
                yield "{} is {} in facts.json, {}".format(name, item, _instead(marked, position))
                break


def _marked(text: str, name: str) -> list[str] | None:
    """Return the numbers behind a fact's mark, up to the next mark or the end of the line."""
    found = re.search(r"<!--\s*fact:{}\s*-->([^\n]*?)(?=<!--|\n|$)".format(re.escape(name)), text)
    return NUMBER.findall(found[1]) if found else None


def _instead(marked: list[str] | None, position: int) -> str:
    if marked is None:
        return "and the report does not say so"
    return "the report says {}".format(marked[position] if position < len(marked) else "nothing")


def _states(number: str, value: float) -> bool:
    """Say whether a printed number is a value, or its percentage, to the digits that are printed."""
    printed = float(number.replace(",", ""))
    mantissa, _, exponent = number.lower().partition("e")
    digits = len(mantissa.partition(".")[2]) - int(exponent or 0)
    tolerance = 0.5000001 * 10.0**-digits if digits or exponent else 1e-9
    return any(abs(printed - meant) <= tolerance for meant in (float(value), 100 * float(value)))


def _unknown_numbers(text: str, sections: dict[str, str], facts: dict[str, Any]) -> Iterator[str]:
    """Yield the figures of the two sections written by hand that neither a fact nor a table gives."""
    if not facts:
        return
    prose = {title: COMMENT.sub("", sections.get(_key(title), "")) for title in (VERDICT, ACTIONS)}
    elsewhere = "".join(body for key, body in sections.items() if key not in map(_key, prose))
    known = [item for value in facts.values() for item in (value if isinstance(value, list) else [value])]
    values = [item for item in known if isinstance(item, (int, float)) and not isinstance(item, bool)]
    values += [float(number.replace(",", "")) for number in NUMBER.findall(COMMENT.sub("", elsewhere))]
    for title, body in prose.items():
        for number in NUMBER.findall(body):
            if "." in number and not any(_states(number, value) for value in values):
                yield "{} says {}, which no fact and no table gives".format(title, number)
