"""The value side of `key=value`: numbers, booleans, null, quoted text, lists and mappings.

Any other text stands for itself, blanks and commas included, so that a path needs no quotes.
"""

from __future__ import annotations

import re
from typing import Any

from deft.errors import UsageError

INTEGER = re.compile(r"[+-]?(0|[1-9](_?\d)*)")
FLOAT = re.compile(
    r"[+-]?((\d(_?\d)*)?\.\d(_?\d)*|\d(_?\d)*\.?)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE
)
LEADING_ZEROS = re.compile(r"[+-]?0\d+")
WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
CAST = re.compile(r"(?P<kind>int|float|str|bool)\((?P<value>[^()]*)\)")
ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")
CLOSING = {"[": "]", "{": "}"}


def parse_value(text: str) -> object:
    """Return the value that a text stands for; an unclosed quote or bracket is refused."""
    reader = _Reader(text.strip())
    try:
        value = reader.value(stops="")
    except (RecursionError, ValueError):  # ten thousand brackets, or as many digits
        raise reader.refusal("it is nested too deeply or has too many digits") from None
    if not reader.at_end():
        raise reader.refusal("text follows the closing quote or bracket")
    return value


def parse_primitive(text: str) -> object:
    """Return an integer, float, boolean, None or the text itself; `001` stays text, `float(1)` is cast."""
    if cast := CAST.fullmatch(text):
        return _cast(cast["kind"], parse_primitive(cast["value"].strip()), text)
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if INTEGER.fullmatch(text):
        return int(text)
    if FLOAT.fullmatch(text) and not LEADING_ZEROS.fullmatch(text):
        return float(text)
    return ESCAPED.sub(r"\1", text)


def _cast(kind: str, value: object, text: str) -> object:
    """Return a value as another kind, a boolean being 0 or 1 and its words in small letters."""
    if kind == "str":
        return str(value).lower() if isinstance(value, bool) or value is None else str(value)
    try:
        return {"int": int, "float": float, "bool": _truth}[kind](value)  # type: ignore[operator]
    except (TypeError, ValueError):
        raise UsageError(f"override value cannot be cast to {kind}", value=text) from None


def _truth(value: object) -> bool:
    if isinstance(value, str) or value is None:
        raise ValueError(value)
    return bool(value)


class _Reader:
    """A cursor over one value."""

    def __init__(self, text: str) -> None:
        self._text, self._position = text, 0

    def at_end(self) -> bool:
        self._skip_blanks()
        return self._position == len(self._text)

    def refusal(self, reason: str) -> UsageError:
        return UsageError(
            f"override value does not parse: {reason}",
            value=self._text,
            hint="put text that begins with a quote or a bracket into the other kind of quotes",
        )

    def value(self, stops: str) -> object:
        self._skip_blanks()
        first = self._text[self._position : self._position + 1]
        if first and first in "'\"":
            return self._quoted(first)
        if first == "[":
            return self._items(first)
        if first == "{":
            return {key: item for key, item in self._items(first)}
        return parse_primitive(self._bare(stops))

    def _skip_blanks(self) -> None:
        while self._text[self._position : self._position + 1].isspace():
            self._position += 1

    def _quoted(self, quote: str) -> str:
        found = re.compile(rf"{quote}((?:\\.|[^{quote}\\])*){quote}", re.DOTALL).match(
            self._text, self._position
        )
        if found is None:
            raise self.refusal("the quote is not closed")
        self._position = found.end()
        return re.sub(rf"(\\+)(?={quote}|$)", lambda run: "\\" * (len(run[1]) // 2), found.group(1))

    def _bare(self, stops: str) -> str:
        start, depth = self._position, 0
        while self._position < len(self._text):
            letter = self._text[self._position]
            if depth == 0 and letter in stops:
                break
            depth += (letter == "{") - (letter == "}")
            self._position += 1
        return self._text[start : self._position].strip()

    def _items(self, opening: str) -> list[Any]:
        closing, items = CLOSING[opening], list[Any]()
        self._position += 1
        while not self._took(closing):
            if items and not self._took(","):
                raise self.refusal(f"`{closing}` or a comma is missing")
            key = self._key() if opening == "{" else None
            item = self.value(stops=f",{closing}")
            items.append((key, item) if opening == "{" else item)
        return items

    def _key(self) -> object:
        key = self.value(stops=":,}")
        if not self._took(":"):
            raise self.refusal("a key without a colon")
        return key

    def _took(self, letter: str) -> bool:
        self._skip_blanks()
        taken = self._text.startswith(letter, self._position)
        self._position += taken
        return taken
