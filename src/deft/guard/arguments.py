"""The arguments of a command: its options, its operands, and the rules that can be made of them.

Standard library only, Python 3.8 on. A word that only the shell can know is never taken for harmless.
"""

from __future__ import annotations

import re

from deft.guard.shell_words import PATTERN, Word

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Callable

    Rule = Callable[[list[Word]], bool]


def options_of(arguments: list[Word]) -> list[str] | None:
    """Return the words that begin with a dash; None if a word may turn into one that nobody has seen."""
    found = []
    for word in arguments:
        start = word.start()
        if start is None or (start[:1] == "-" and word.literal() is None):
            return None
        if start[:1] == "-":
            found.append(start)
    return found


def is_one_of(option: str, long: tuple[str, ...]) -> bool:
    """Say whether an option is one of these or may be an abbreviation of one."""
    name = option.partition("=")[0]
    long_form = name.startswith("--") and len(name) > 2
    return long_form and any(name.startswith(known) or known.startswith(name) for known in long)


def without(long: tuple[str, ...] = (), letters: str = "", operands: int | None = None) -> Rule:
    """Return a rule: no such long option, no such letter in a short one, not more operands."""

    def rule(arguments: list[Word]) -> bool:
        options = options_of(arguments)
        if options is None or (operands is not None and not _has_at_most(operands, arguments)):
            return False
        short = [option for option in options if not option.startswith("--")]
        if any(letter in option for option in short for letter in letters):
            return False
        return not any(is_one_of(option, long) for option in options)

    return rule


def _has_at_most(operands: int, arguments: list[Word]) -> bool:
    """Say whether not more operands are given, and none that may become several; `-` is one."""
    words = [word.literal() for word in arguments]
    ended = words.index("--") if "--" in words else len(words)
    found = [
        word
        for place, word in enumerate(words)
        if place > ended or word == "-" or not (word or "?").startswith("-")
    ]
    return len(found) <= operands and None not in found


def stays_one_word(word: Word) -> bool:
    """Say whether no pattern in a word may become several of them."""
    return word.start() is not None and all(part.kind != PATTERN for part in word.parts)


def is_number(word: Word) -> bool:
    return re.fullmatch(r"-?[0-9]+(?:\.[0-9]+)?", word.literal() or "") is not None


def listing(*first: str) -> Rule:
    """Return a rule: the first word is one of these, and no option follows."""

    def rule(arguments: list[Word]) -> bool:
        options = options_of(arguments[1:])
        return bool(arguments) and arguments[0].literal() in first and options == []

    return rule


def written_as(pattern: str) -> Rule:
    """Return a rule: all arguments are written out and, with a blank between them, match a pattern."""

    def rule(arguments: list[Word]) -> bool:
        words = [word.literal() for word in arguments]
        if any(word is None or re.search(r"\s", word) for word in words):
            return False
        return re.fullmatch(pattern, " ".join(str(word) for word in words)) is not None

    return rule
