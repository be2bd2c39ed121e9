"""What text from outside looks like wherever it is shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deft.untrusted import LONGEST, untrusted, visible, visible_record


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("board_7/C12", "board_7/C12"),
        ("  two   words ", "two words"),
        ("a\r\n2026 forged line\x0b\x85\u2028b", "a 2026 forged line b"),
        ("\x1b[31mred\x1b[0m \x1b]8;;http://x.example\x07link\x1b]8;;\x1b\\ \x9b2Jgone", "red link gone"),
        ("\x1b]0;a title that never ends", ""),
        ("abc\u202egpj.exe\u2066\u2069", "abcgpj.exe"),
        ("p\u200ba\u200cy\u2060l\ufeffo\u00adad", "payload"),
        ("".join(chr(0xE0000 + ord(letter)) for letter in "approve"), ""),
        ("a\ufe0f\U000e0101b\u3164\u115fc", "abc"),
        ("\ud800\ue000\uffffx", "x"),
        ("Lötstelle 焊点 naïve", "Lötstelle 焊点 naïve"),
        (3, "3"),
    ],
)
def test_what_no_reader_sees_is_gone_and_the_rest_stands_on_one_line(raw: object, shown: str) -> None:
    assert untrusted(raw) == shown


@given(st.text(max_size=400))
def test_any_text_is_short_printable_and_the_same_when_it_passes_twice(text: str) -> None:
    shown = untrusted(text)
    assert len(shown) <= LONGEST
    assert shown.isprintable()
    assert not [letter for letter in shown if unicodedata.category(letter)[0] == "C"]
    assert untrusted(shown) == shown


def test_a_long_text_keeps_both_ends() -> None:
    shown = untrusted(f"fact {'x' * 500} name.png")
    assert len(shown) == LONGEST
    assert shown.startswith("fact x")
    assert shown.endswith("x name.png")
    assert len(visible("y" * 500)) == 500
    assert len(untrusted("y" * 500, 40)) == 40


def test_every_text_and_name_of_a_record_becomes_visible_and_figures_stay() -> None:
    record = {"la\u202ebel": ["a\nb", 0.5, None, True], "far": {"x": ("\x1b[1mbold",)}, 3: 1}
    assert visible_record(record) == {"label": ["a b", 0.5, None, True], "far": {"x": ["bold"]}, 3: 1}
