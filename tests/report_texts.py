"""What both reports are asked in the tests: their headings, and their text once somebody wrote the prose."""

from __future__ import annotations

import re

from deft.report.markdown import prose


def headings(text: str) -> list[str]:
    """Return the sections of a report."""
    return re.findall(r"^## (.*)$", text, re.MULTILINE)


def finished_text(text: str, prose_of_a_writer: str) -> str:
    """Fill both blocks as a writer would."""
    for words in prose(text).values():
        text = text.replace(words, prose_of_a_writer + "\n")
    return text
