"""Options, operands and the rules made of them: a word that only the shell knows is never harmless."""

from __future__ import annotations

import pytest

from deft.guard.arguments import (
    is_number,
    is_one_of,
    listing,
    options_of,
    stays_one_word,
    without,
    written_as,
)
from deft.guard.shell import Script
from deft.guard.shell_words import Word


def arguments(text: str) -> list[Word]:
    return Script(f"x {text}").commands[0].words[1:]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", []),
        ("a b", []),
        ("-n a --long=1 -", ["-n", "--long=1", "-"]),
        ("'-n' a", ["-n"]),
        ('a"$X"', []),
        ("a$X", None),
        ("$X", None),
        ("-$X", None),
        ("*", None),
        ("-{a,b}", None),
    ],
)
def test_options_begin_with_a_dash_and_hidden_ones_are_not_guessed(
    text: str, options: list[str] | None
) -> None:
    assert options_of(arguments(text)) == options


@pytest.mark.parametrize(
    ("option", "known"),
    [
        ("--output", True),
        ("--out", True),
        ("--output=x", True),
        ("--outputs", True),
        ("--", False),
        ("-o", False),
    ],
)
def test_an_abbreviation_of_a_long_option_is_that_option(option: str, known: bool) -> None:
    assert is_one_of(option, ("--output",)) is known


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("-n a", True),
        ("a b", False),
        ("-o a", False),
        ("-no a", False),
        ("--output=a", False),
        ("--outp a", False),
        ("- b", False),
        ("-- -a -b", False),
        ("a*", False),
        ("a$X", False),
        ("$X", False),
    ],
)
def test_a_rule_bounds_long_options_letters_and_operands(text: str, passes: bool) -> None:
    assert without(("--output",), "o", operands=1)(arguments(text)) is passes


def test_a_rule_without_a_bound_takes_any_operands() -> None:
    assert without(letters="o")(arguments("a b c -x"))


@pytest.mark.parametrize(
    ("text", "passes"),
    [("a", True), ('a"$X"', True), ("a$X", False), ("$X", False), ("a*", False), ("a{b,c}", False)],
)
def test_a_pattern_may_become_several_words(text: str, passes: bool) -> None:
    assert stays_one_word(arguments(text)[0]) is passes


@pytest.mark.parametrize(
    ("text", "passes"), [("1", True), ("-2.5", True), ("x", False), ("$X", False), ("1e3", False)]
)
def test_a_number_is_written_out(text: str, passes: bool) -> None:
    assert is_number(arguments(text)[0]) is passes


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("list", True),
        ("list a", True),
        ("install a", False),
        ("list -x", False),
        ("", False),
        ("list $X", False),
    ],
)
def test_a_listing_begins_with_its_verb_and_has_no_option(text: str, passes: bool) -> None:
    assert listing("list", "ls")(arguments(text)) is passes


@pytest.mark.parametrize(
    ("text", "passes"), [("a b", True), ("'a' \"b\"", True), ("'a b'", False), ("a", False), ("a $X", False)]
)
def test_what_is_written_out_is_read_word_by_word(text: str, passes: bool) -> None:
    assert written_as("a b")(arguments(text)) is passes
