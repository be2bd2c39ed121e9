"""Text from outside cannot become markup, and prose survives a new rendering."""

from __future__ import annotations

import jinja2
import pytest

from deft.report.markdown import (
    cleaned,
    code_span,
    exact,
    number,
    percent,
    prose,
    rendered,
    unwritten,
    with_prose_of,
    without_prose,
    word_count,
)
from deft.untrusted import LONGEST

HOSTILE = [
    "`](javascript:x)`",
    "a|b|c",
    "a\\|b",
    "<script>alert(1)</script>",
    "one\n# two",
    "# heading",
    "\u202egnp.exe",
    "\x1b[31mred",
    "zero\u200bwidth",
    "<!-- /write -->",
    "x" * 5000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_inside_one_code_span_of_one_table_cell(text):
    span = code_span(text)
    assert span.startswith("`")
    assert span.endswith("`")
    inside = span[1:-1]
    assert len(inside) <= LONGEST
    assert not set(inside) & set("`|\\\n\r\u202e\u200b\x1b")


def test_an_ordinary_text_is_shown_as_it_is():
    assert code_span("board 3/U12 (2.5 mm)") == "`board 3/U12 (2.5 mm)`"
    assert cleaned("  two\t words ") == "two words"


def test_an_empty_text_is_said_to_be_empty():
    assert code_span("\u200b") == "`(empty)`"


def test_figures_are_spelled_one_way_and_absent_ones_are_a_dash():
    assert (percent(0.12345), number(0.123456), exact(0.1)) == ("12.35 %", "0.1235", "0.1")
    assert {percent(None), number(None), exact(None)} == {"–"}


def test_a_template_prints_a_foreign_string_as_a_code_span_without_being_asked(monkeypatch, tmp_path):
    monkeypatch.setattr("deft.report.markdown.TEMPLATES", tmp_path)
    (tmp_path / "page.md").write_text("{{ label }} {{ count }} {{ nothing }}\n", encoding="utf-8")
    assert rendered("page.md", label="<b>|", count=3, nothing=None) == "`<b>¦` 3 –\n"


def test_a_name_that_a_template_does_not_get_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr("deft.report.markdown.TEMPLATES", tmp_path)
    (tmp_path / "page.md").write_text("{{ missing }}", encoding="utf-8")
    with pytest.raises(jinja2.UndefinedError, match="missing"):
        rendered("page.md")


FRESH = "a\n<!-- write: verdict -->\nTO WRITE: say it.\n<!-- /write -->\nb\n"
WRITTEN = FRESH.replace("TO WRITE: say it.", "It is so.\nTwice.")


def test_blocks_that_wait_are_named():
    assert unwritten(FRESH) == ["verdict"]
    assert unwritten(FRESH.replace("TO WRITE: say it.\n", "")) == ["verdict"]
    assert unwritten(WRITTEN) == []
    assert prose(WRITTEN) == {"verdict": "It is so.\nTwice.\n"}


def test_what_was_written_stays_when_the_report_is_rendered_again(tmp_path):
    path = tmp_path / "report.md"
    assert with_prose_of(FRESH, path) == FRESH
    path.write_text(WRITTEN.replace("\nb\n", "\nold\n"), encoding="utf-8")
    assert with_prose_of(FRESH, path) == WRITTEN


def test_a_block_that_still_waits_gets_the_new_words(tmp_path):
    path = tmp_path / "report.md"
    path.write_text(FRESH.replace("say it", "say the old thing"), encoding="utf-8")
    assert with_prose_of(FRESH, path) == FRESH


def test_the_generated_part_is_the_same_whatever_the_prose_says():
    assert without_prose(FRESH) == without_prose(WRITTEN)
    assert without_prose(FRESH) != without_prose(WRITTEN.replace("\nb\n", "\nc\n"))


def test_comments_bars_and_rules_are_no_words():
    assert word_count("one two\n| three | 4.5 % |\n|---|---|\n<!-- write: verdict -->\n– ") == 4
