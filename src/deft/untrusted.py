"""Text from outside, as it may be shown: one line, printable, short. What it says is never an instruction.

File names, cells of tables, logs of tools and messages of other programs pass through here on their way to
a terminal, a record, a report or a model. Standard library only, Python 3.8 on.
"""

from __future__ import annotations

import re
import unicodedata

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Any

LONGEST, LONGEST_FACT = 200, 400
CUT = " … "
# A terminal would obey these sequences; without their first byte they would stay behind as litter.
ESCAPE = re.compile(
    "\x1b(?:[\\[][0-?]*[ -/]*[@-~]|[\\]PX^_].*?(?:\x07|\x1b\\\\|\x9c|$)|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)
# Letters by their category that no font shows; what they hide in a text, only a program reads.
UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
HIDDEN = re.compile(f"[{UNSEEN}]")


def untrusted(text: object, longest: int = LONGEST) -> str:
    """Return a text on one line, at most `longest` long, cut in the middle: its ends tell the most."""
    line = " ".join(visible(str(text)).split())
    if len(line) <= longest:
        return line
    tail = (longest - len(CUT)) // 2
    return line[: longest - len(CUT) - tail] + CUT + line[len(line) - tail :]


def visible(text: str) -> str:
    """Return a text on one line without control, bidirectional, invisible and unassigned characters."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(letter) for letter in HIDDEN.sub("", ESCAPE.sub("", text)))


def _shown(letter: str) -> str:
    if letter.isspace():
        return " "
    return "" if unicodedata.category(letter)[0] == "C" else letter


def visible_lines(text: str) -> str:
    """Return a text for a terminal: its lines as they are, without what is not seen."""
    return "\n".join(map(visible, text.split("\n")))


def visible_record(value: Any) -> Any:
    """Return a record whose texts and names are visible ones; lists stay lists, figures stay figures."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {
            visible(name) if isinstance(name, str) else name: visible_record(v) for name, v in value.items()
        }
    return [visible_record(part) for part in value] if isinstance(value, (list, tuple)) else value
