"""Markdown of the reports: text from outside only in code spans, and prose blocks that a new rendering keeps.

A template cannot print a string that was not marked as ours: it becomes a code span on its way out.
"""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
from markupsafe import Markup

from deft import files
from deft.untrusted import untrusted

TEMPLATES = Path(__file__).parent / "templates"
LOOK_ALIKES = str.maketrans({"`": "'", "|": "¦", "\\": "∖"})
ABSENT = Markup("–")
TO_WRITE = "TO WRITE:"
BLOCK = re.compile(
    r"^<!-- write: (?P<name>[a-z-]+) -->\n(?P<text>.*?)^<!-- /write -->$", re.MULTILINE | re.DOTALL
)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


# --- text from outside -----------------------------------------------------------------------


def cleaned(text: object) -> str:
    """Return untrusted text in which what could end a code span or a cell is a look-alike."""
    return untrusted(text).translate(LOOK_ALIKES)


def code_span(text: object) -> Markup:
    """Return a text as a code span, in which nothing is markup."""
    return Markup(f"`{cleaned(text) or '(empty)'}`")


def percent(fraction: float | None) -> Markup:
    """Return a fraction as a percentage with two digits, a dash where it is undefined."""
    return ABSENT if fraction is None else Markup(f"{100 * fraction:.2f} %")


def number(value: float | None) -> Markup:
    """Return a score, a threshold or a similarity to four digits, a dash where there is none."""
    return ABSENT if value is None else Markup(f"{value:.4g}")


def exact(value: float | None) -> Markup:
    """Return a number in full precision."""
    return ABSENT if value is None else Markup(repr(float(value)))


def _printed(value: object) -> Markup:
    if isinstance(value, Markup):
        return value
    if value is None:
        return ABSENT
    return Markup(str(value)) if isinstance(value, int) else code_span(value)


def rendered(template: str, **values: object) -> str:
    """Fill a Markdown template of this package; a name it does not get is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(percent=percent, number=number, exact=exact)
    return environment.get_template(template).render(**values)


# --- prose -----------------------------------------------------------------------------------


def prose(text: str) -> dict[str, str]:
    """Return what stands in each block that a person or an agent is to write."""
    return {block["name"]: block["text"] for block in BLOCK.finditer(text)}


def unwritten(text: str) -> list[str]:
    """Return the blocks that still hold what is asked of them, or nothing."""
    return [name for name, words in prose(text).items() if TO_WRITE in words or not words.strip()]


def with_prose_of(fresh: str, path: Path) -> str:
    """Return a fresh rendering with the prose that was written into the file at `path` before."""
    if not path.is_file():
        return fresh
    old = files.read_text(path)
    kept = {name: words for name, words in prose(old).items() if name not in unwritten(old)}

    def fill(block: re.Match[str]) -> str:
        words = kept.get(block["name"], block["text"])
        return f"<!-- write: {block['name']} -->\n{words}<!-- /write -->"

    return BLOCK.sub(fill, fresh)


def without_prose(text: str) -> str:
    """Return what was generated: the text with its blocks emptied."""
    return BLOCK.sub(lambda block: f"<!-- write: {block['name']} -->\n<!-- /write -->", text)


def word_count(text: str) -> int:
    """Count words as a reader does: comments, rules and the bars of tables are none."""
    closed, end, rest = text.rpartition("-->")  # no comment is looked for behind the last that can end
    return sum(any(map(str.isalnum, word)) for word in (COMMENT.sub("", closed + end) + rest).split())
