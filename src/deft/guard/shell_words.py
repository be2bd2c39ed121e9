"""The words of a shell command: quotes, escapes and expansions, read the way bash and zsh read them.

Standard library only, Python 3.8 on. Nothing is ever expanded: a part that only the shell can know is marked
as such, and what this reader does not know for certain it refuses with Unparsable.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import NoReturn

TEXT, VARIABLE, OPAQUE, PATTERN = "text", "variable", "opaque", "pattern"

PLAIN = re.compile(r"[^\s\\'\"$`;&|<>()*?\[\]{}~!#]+")
IN_QUOTES = re.compile(r"[^\\\"$`\n]+")
ARITHMETIC = re.compile(r"\(\([0-9+*/% ()-]*\)\)")
BRACED = re.compile(r"\{([A-Za-z_]\w*)(?::?-([A-Za-z0-9_./~@:+-]*))?\}")
BRACED_VALUE = re.compile(r"\{#[A-Za-z_]\w*\}|\{[A-Za-z_]\w*(?:%%?|##?)[\w./*?-]*\}")
NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
CHANGED = re.compile(r"\[|:[A-Za-z]")  # zsh reads an element or a modifier after a name
SPECIAL = re.compile(r"[0-9@*#?$!-]")
BARE_DOLLAR = re.compile(r"[\s\"'|)/.]|$")
ANSI_QUOTES = re.compile(r"'(?:[^'\\]|\\.)*'", re.DOTALL)
BACKTICKS = re.compile(r"([^`\\]*)`")


class Unparsable(Exception):
    """A command that cannot be read for certain; the text says where."""


class Part:
    """A piece of a word: its kind, its text (for a variable its name), whether quotes protect it."""

    __slots__ = ("default", "kind", "quoted", "text")

    def __init__(self, kind: str, text: str, quoted: bool, default: str | None = None) -> None:
        self.kind, self.text, self.quoted, self.default = kind, text, quoted, default


class Word:
    """One word of a command."""

    __slots__ = ("parts",)

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts

    def literal(self) -> str | None:
        """Return the word's text if no expansion can change it, else None."""
        if all(part.kind == TEXT for part in self.parts):
            return "".join(part.text for part in self.parts)
        return None

    def bare(self) -> str | None:
        """Return the text of a word without any quotes or expansions, as a reserved word is; else None."""
        if any(part.quoted or part.kind in (VARIABLE, OPAQUE) for part in self.parts):
            return None
        return "".join(part.text for part in self.parts)

    def start(self) -> str | None:
        """Return the literal text with which the word, and every word it may become, begins; else None."""
        if any(part.kind in (VARIABLE, OPAQUE) and not part.quoted for part in self.parts):
            return None
        text = ""
        for part in self.parts:
            if part.kind != TEXT:
                break
            text += part.text
        return text if text or self.literal() == "" else None

    def shown(self) -> str:
        """Return the word for a message."""
        return "".join(part.text if part.kind in (TEXT, PATTERN) else "$…" for part in self.parts)


class WordReader:
    """Reads words from a text; what stands in a substitution it leaves to `read_nested`."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.pending = []  # type: list[tuple[str, bool, bool]]

    def read_nested(self, text: str, at: int) -> int:
        """Read the commands of a substitution; returns where they end: a `)` if `at` is not 0."""
        raise NotImplementedError

    def fail(self, reason: str) -> NoReturn:
        raise Unparsable(reason)

    def peek(self, width: int = 1) -> str:
        return self.text[self.at : self.at + width]

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def end_of_line(self) -> int:
        end = self.text.find("\n", self.at)
        return len(self.text) if end < 0 else end

    def forbid_lines(self, text: str) -> None:
        """Refuse a line break inside a word while a here-document waits for the end of its line."""
        if self.pending and "\n" in text:
            self.fail("a here-document waits while a word spans lines")

    def read_word(self) -> Word:
        parts = []  # type: list[Part]
        while True:
            plain = self.take(PLAIN)
            character = self.peek()
            if plain is not None:
                parts.append(Part(TEXT, plain[0], False))
            elif self.peek(2) == "<(":
                self.at += 1
                self.read_substitution(parts, False)
            elif character in ("", " ", "\t", "\n", ";", "&", "|", "<", ">", ")"):
                break
            elif character == "(":
                self.fail("a ( inside a word is not followed")
            else:
                self.read_part(parts, character)
        if not parts:
            self.fail("a word is missing before {!r}".format(character or "the end"))
        return Word(parts)

    def read_part(self, parts: list[Part], character: str) -> None:
        """Read a quoted piece, an expansion or a single special character."""
        self.at += 1
        if character == "\\":
            if self.peek() == "":
                self.fail("it ends in a backslash")
            if self.peek() != "\n":
                parts.append(Part(TEXT, self.peek(), True))
            self.at += 1
        elif character == "'":
            parts.append(Part(TEXT, self.read_until_quote(), True))
        elif character == '"':
            parts.append(Part(TEXT, "", True))
            self.read_quoted(parts, '"')
        elif character == "$":
            self.read_dollar(parts, False)
        elif character == "`":
            self.read_backticks(parts, False)
        else:
            self.read_special(parts, character)

    def read_special(self, parts: list[Part], character: str) -> None:
        if character == "{" and self.peek() == "}":
            self.at += 1
            parts.append(Part(TEXT, "{}", False))
        elif character in "*?[{" or (character == "~" and not parts):
            parts.append(Part(PATTERN, character, False))
        elif character.isspace():
            self.fail("it holds an unusual blank")
        else:
            parts.append(Part(TEXT, character, False))

    def read_until_quote(self) -> str:
        end = self.text.find("'", self.at)
        if end < 0:
            self.fail("a quote is not closed")
        text, self.at = self.text[self.at : end], end + 1
        self.forbid_lines(text)
        return text

    def read_quoted(self, parts: list[Part], end: str) -> None:
        """Read what stands in double quotes, or with no end the body of a here-document."""
        while self.peek() != end or not self.peek():
            if not self.peek():
                if end:
                    self.fail("a quote is not closed")
                return
            self.read_quoted_piece(parts, end)
        self.at += 1

    def read_quoted_piece(self, parts: list[Part], end: str) -> None:
        run = self.take(IN_QUOTES)
        character = self.peek()
        if run is not None:
            parts.append(Part(TEXT, run[0], True))
            return
        self.at += 1
        if character == "$":
            self.read_dollar(parts, True)
        elif character == "`":
            self.read_backticks(parts, True)
        elif character == "\\" and self.peek() in ("$", "`", '"', "\\", "\n") and self.peek():
            if self.peek() != "\n":
                parts.append(Part(TEXT, self.peek(), True))
            self.at += 1
        else:
            self.forbid_lines(character)
            parts.append(Part(TEXT, character, True))

    # --- expansions ----------------------------------------------------------------------------------

    def read_dollar(self, parts: list[Part], quoted: bool) -> None:
        if self.peek(2) == "((" and self.take(ARITHMETIC):
            parts.append(Part(OPAQUE, "", quoted))
        elif self.peek() == "[" or self.peek(2) == "((":
            self.fail("arithmetic is not followed")
        elif self.peek() == "(":
            self.read_substitution(parts, quoted)
        elif self.peek() == "{":
            self.read_braced(parts, quoted)
        elif self.peek() == '"' and not quoted:
            self.fail("a translated string is not followed")
        elif self.peek() == "'" and not quoted:
            self.read_dollar_quotes(parts)
        else:
            self.read_name(parts, quoted)

    def read_name(self, parts: list[Part], quoted: bool) -> None:
        name = self.take(NAME)
        if name is not None and self.peek().isalnum():
            self.fail("zsh reads letters beyond ASCII as part of a name")
        elif name is not None and not CHANGED.match(self.text, self.at):
            parts.append(Part(VARIABLE, name[0], quoted))
        elif name is not None:
            self.fail("a changed variable is not followed")
        elif self.peek() == "@" and self.take(SPECIAL):
            parts.append(Part(OPAQUE, "", False))  # several words, in quotes too
        elif self.take(SPECIAL):
            parts.append(Part(OPAQUE, "", quoted))
        elif BARE_DOLLAR.match(self.text, self.at):
            parts.append(Part(TEXT, "$", quoted))
        else:
            self.fail("this use of $ is not followed")

    def read_dollar_quotes(self, parts: list[Part]) -> None:
        found = self.take(ANSI_QUOTES)
        if found is None:
            self.fail("a quote is not closed")
        self.forbid_lines(found[0])
        parts.append(Part(OPAQUE, "", True))

    def read_braced(self, parts: list[Part], quoted: bool) -> None:
        found = self.take(BRACED)
        if found is not None:
            parts.append(Part(VARIABLE, found[1], quoted, found[2]))
        elif self.take(BRACED_VALUE):
            parts.append(Part(OPAQUE, "", quoted))
        else:
            self.fail("this ${…} is not followed")

    def read_substitution(self, parts: list[Part], quoted: bool) -> None:
        """Read `$(…)` or `<(…)` from its bracket on; the commands in it join the script's."""
        start = self.at + 1
        end = self.read_nested(self.text, start)
        self.forbid_lines(self.text[start:end])
        self.at = end + 1
        parts.append(Part(OPAQUE, "", quoted))

    def read_backticks(self, parts: list[Part], quoted: bool) -> None:
        found = self.take(BACKTICKS)
        if found is None:
            self.fail("backticks with a backslash, or not closed, are not followed")
        self.forbid_lines(found[0])
        self.read_nested(found[1], 0)
        parts.append(Part(OPAQUE, "", quoted))
