"""The generated tables say what the code does: options, settings, stages, records, keys, columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft.cli.documentation_tables import TABLES, table
from deft.cli.verbs import VERBS

REPOSITORY = Path(__file__).resolve().parents[2]


def rows(name: str) -> list[list[str]]:
    lines = TABLES[name](REPOSITORY).splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.parametrize("name", sorted(set(TABLES) - {f"flags-{verb}" for verb in VERBS}))
def test_every_table_has_rows_of_one_width(name):
    found = rows(name)
    assert found
    assert len({len(row) for row in found}) == 1


def test_an_option_has_its_line_with_its_default():
    options = {row[0]: row for row in rows("flags-mine")}
    assert options["`--output-dir`"][1] == "required"
    assert options["`--platform`"][1] == "`embedded`"
    assert "`--json`" not in options


def test_a_switch_shows_both_of_its_words():
    assert any(row[0] == "`--spot-check`, `--no-spot-check`" for row in rows("flags-preflight"))


def test_settings_show_the_defaults_of_both_kinds_of_encoder():
    cut = next(row for row in rows("settings") if row[0] == "`min_similarity`")
    assert cut == ["`min_similarity`", "`--min-similarity`", "`0.9`", "off"]


def test_every_stage_names_a_module_that_exists():
    for row in rows("stages"):
        assert (REPOSITORY / "src" / "deft" / row[3].strip("`")).is_file()


def test_every_script_is_listed():
    assert len(rows("scripts")) == len(list((REPOSITORY / "scripts").glob("*.py")))


def test_a_key_without_a_default_must_be_given():
    keys = {row[0]: row[2] for row in rows("keys-gap-analysis")}
    assert keys["`results_dir`"] == "must be given"
    assert keys["`top_k_per_label`"] == "`50`"


def test_two_sections_of_each_report_are_left_to_write():
    for name in ("rca-sections", "mining-sections"):
        assert [row[0] for row in rows(name) if "filled in" not in row[1]] == [
            "Verdict",
            "Recommended Actions",
        ]


def test_a_bar_in_a_cell_does_not_end_it():
    assert table(("a",), [("x|y",)]).splitlines()[2] == "| x\\|y |"
