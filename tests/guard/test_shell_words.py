"""Words: what their text is, what they may become, and what only the shell can know."""

from __future__ import annotations

import pytest

from deft.guard.shell import Script
from deft.guard.shell_words import Word


def word(text: str) -> Word:
    return Script(f"command {text}").commands[-1].words[1]


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("plain", "plain"),
        ("'single $x'", "single $x"),
        ('"double \\" \\$x \\n"', 'double " $x \\n'),
        ("d\\ock\\er", "docker"),
        ("d''o\"c\"ker", "docker"),
        ("a\\\nb", "ab"),
        ("''", ""),
        ("{}", "{}"),
        ("a=b~c", "a=b~c"),
        ("$", "$"),
        ('"a$"', "a$"),
        ("a#b", "a#b"),
        ("$x", None),
        ('"$x"', None),
        ("*.csv", None),
        ("~/x", None),
        ("{a,b}", None),
        ("$'a'", None),
        ("$(a)", None),
    ],
)
def test_the_literal_text_of_a_word(text: str, literal: str | None) -> None:
    assert word(text).literal() == literal


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("-x", "-x"),
        ("'-'x", "-x"),
        ("-{a,b}", "-"),
        ("a*", "a"),
        ('a"$x"', "a"),
        ("''", ""),
        ("a$x", None),
        ('"$x"a', None),
        ("*", None),
        ("{-a,b}", None),
        ("~/x", None),
    ],
)
def test_how_a_word_and_all_it_may_become_begins(text: str, start: str | None) -> None:
    assert word(text).start() == start


@pytest.mark.parametrize(
    ("text", "bare"), [("fi", "fi"), ("'fi'", None), ("f\\i", None), ("$fi", None), ("{", "{")]
)
def test_a_reserved_word_is_one_only_when_written_bare(text: str, bare: str | None) -> None:
    assert word(text).bare() == bare


def test_a_default_is_kept_with_its_variable() -> None:
    (part,) = word("${BANK:-~/bank}").parts
    assert (part.kind, part.text, part.default) == ("variable", "BANK", "~/bank")


def test_a_word_is_shown_without_what_only_the_shell_knows() -> None:
    assert word('a"$x"$(b)c').shown() == "a$…$…c"
