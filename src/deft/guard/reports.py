"""Whether a finished report says what its run says: sections, labels, artifacts, tables and numbers.

Standard library only, Python 3.8 on. `facts.json` beside a report, written by `deft report`, says what the
report must hold; whoever fills its blocks may name the numbers in it, as they stand or in percent.
"""

from __future__ import annotations

import hashlib
import os
import re

from deft.guard.approval import read_record
from deft.untrusted import untrusted

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Any, Iterator

RCA, MINING, FACTS = "RCA_Report.md", "Mining_Report.md", "facts.json"
BESIDE = {
    RCA: (FACTS, "kpi_gaps.parquet", "unreachable_kpi.txt"),
    MINING: (FACTS, "mined.parquet", "mining_summary.txt"),
}
RENDERED_BY = {RCA: "deft report rca", MINING: "deft report mining"}
LABELS = "Per-Label Breakdown"
TO_WRITE = "TO WRITE:"
BLOCK = re.compile(
    r"^<!-- write: (?P<name>[a-z-]+) -->\n(?P<text>.*?)^<!-- /write -->$", re.MULTILINE | re.DOTALL
)
HEADING = re.compile(r"^#{1,6}[ \t]+(?:\d+[.)]?[ \t]+)?(.+?)[ \t]*#*$", re.MULTILINE)
MARKS = r"`[^`\n]*`|^[ \t]*(?:\d+[.)]|#+)[ \t]"
NO_PROSE = re.compile("<!--.*?-->|" + MARKS, re.MULTILINE | re.DOTALL)
NO_PROSE_NOR_COMMENT = re.compile(MARKS, re.MULTILINE)
NUMBER = re.compile(
    r"(?<![\w.,-])[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w-])"
)
MAX_PROBLEMS = 6


def is_report(path: str) -> bool:
    """Say whether a file is a report of one of the steps: by its name and what lies beside it."""
    folder, name = os.path.split(path)
    return any(os.path.isfile(os.path.join(folder, other)) for other in BESIDE.get(name, ()))


def problems_of(path: str) -> list[str]:
    """Return one line a thing that is missing from a report, or that differs from its facts."""
    folder, name = os.path.split(path)
    record = read_record(os.path.join(folder, FACTS))
    if record is None or not isinstance(record.get("facts"), dict):
        return ["{} is missing or damaged: {} FOLDER renders the report".format(FACTS, RENDERED_BY[name])]
    with open(path, encoding="utf-8", errors="replace", newline="") as stream:
        text = stream.read()
    found = [
        *_unwritten(text),
        *_sections_missing(text, _texts(record, "sections")),
        *_labels_missing(text, _texts(record, "labels")),
        *_artifacts_missing(folder, _texts(record, "artifacts")),
        *_tables_changed(text, record.get("generated_sha256"), RENDERED_BY[name]),
        *_numbers_unknown(text, record["facts"]),
    ]
    return found[:MAX_PROBLEMS]


def _texts(record: dict[str, Any], name: str) -> list[str]:
    values = record.get(name)
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


# --- what must be there --------------------------------------------------------------------------------


def _unwritten(text: str) -> Iterator[str]:
    for block in BLOCK.finditer(text):
        if TO_WRITE in block["text"] or not block["text"].strip():
            yield "to write: {}".format(block["name"])


def _key(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", title.lower()).strip()


def _sections(text: str) -> dict[str, str]:
    """Return what stands under each heading, by the heading's words."""
    pieces = HEADING.split(text)
    return {_key(pieces[at]): pieces[at + 1] for at in range(1, len(pieces), 2)}


def _sections_missing(text: str, wanted: list[str]) -> Iterator[str]:
    sections = _sections(text)
    for title in wanted:
        if not sections.get(_key(title), "").strip():
            yield "section missing or empty: {}".format(untrusted(title))


def _labels_missing(text: str, labels: list[str]) -> Iterator[str]:
    body = _sections(text).get(_key(LABELS), "").lower()
    missing = [label for label in labels if label.lower() not in body]
    if missing:
        yield "labels missing from {}: {}".format(LABELS, ", ".join(map(untrusted, missing)))


def _artifacts_missing(folder: str, artifacts: list[str]) -> Iterator[str]:
    for artifact in artifacts:
        path = os.path.join(folder, artifact)
        if not os.path.isfile(path) or not os.path.getsize(path):
            yield "artifact missing or empty: {}".format(untrusted(artifact))
        elif artifact.endswith(".parquet") and not _is_parquet(path):
            yield "artifact is no parquet table: {}".format(untrusted(artifact))


def _is_parquet(path: str) -> bool:
    with open(path, "rb") as stream:
        head = stream.read(4)
        stream.seek(-min(4, os.path.getsize(path)), os.SEEK_END)
        return head == stream.read(4) == b"PAR1"


# --- what it may say -----------------------------------------------------------------------------------


def _tables_changed(text: str, digest: object, command: str) -> Iterator[str]:
    """Yield a line if anything but the blocks differs from what was rendered."""
    generated = BLOCK.sub(_emptied, text)
    if isinstance(digest, str) and hashlib.sha256(generated.encode("utf-8")).hexdigest() != digest:
        yield "the generated part was changed: {} FOLDER renders it anew and keeps your blocks".format(
            command
        )


def _emptied(block: re.Match[str]) -> str:
    return "<!-- write: {} -->\n<!-- /write -->".format(block["name"])


def _numbers_unknown(text: str, facts: dict[str, Any]) -> Iterator[str]:
    """Yield the numbers in the written blocks that neither a fact nor a table of the report gives."""
    values = [value for value in facts.values() if isinstance(value, (int, float))]
    values += [_value(number) for number in NUMBER.findall(BLOCK.sub("", text))]
    for block in BLOCK.finditer(text):
        for number in NUMBER.findall(_prose(block["text"])):
            if not any(_states(number, value) for value in values):
                yield "{} says {}, which is no fact of this report".format(block["name"], number)


def _prose(text: str) -> str:
    """Return a text without comments, code and list marks; a comment is looked for only where one can end."""
    closed, end, rest = text.rpartition("-->")
    return NO_PROSE.sub(" ", closed + end) + NO_PROSE_NOR_COMMENT.sub(" ", end + rest)


def _value(number: str) -> float:
    return float(number.replace(",", ""))


def _states(number: str, value: float) -> bool:
    """Say whether a printed number is a value, or its percentage, to the digits that are printed."""
    mantissa, _, exponent = number.lower().partition("e")
    digits = len(mantissa.partition(".")[2]) - int(exponent or 0)
    tolerance = 0.5000001 * 10.0**-digits if digits else 1e-9
    return any(abs(_value(number) - meant) <= tolerance for meant in (float(value), 100 * float(value)))
