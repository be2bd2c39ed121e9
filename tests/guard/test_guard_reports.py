"""A finished report is held against its facts: what is missing, changed or invented is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report_fixtures import write_report

from deft.guard.reports import is_report, problems_of
from deft.report.facts_record import NAME, Report, publish
from deft.report.markdown import BLOCK as RENDERED_BLOCK


def test_a_report_that_says_what_its_facts_say_has_no_problem(tmp_path: Path) -> None:
    assert problems_of(str(write_report(tmp_path))) == []


def test_a_block_that_waits_is_named(tmp_path: Path) -> None:
    report = write_report(tmp_path, verdict="TO WRITE: verdict", actions="  ")
    assert problems_of(str(report)) == ["to write: verdict", "to write: recommended-actions"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FAR is 4.2 %.", "4.2"),
        ("FAR is 0.05.", "0.05"),
        ("17 good parts are rejected.", "17"),
        ("FAR is 4,100.", "4,100"),
        ("The threshold is 0.3126.", "0.3126"),
    ],
)
def test_a_number_that_is_no_fact_is_named(tmp_path: Path, text: str, said: str) -> None:
    (problem,) = problems_of(str(write_report(tmp_path, verdict=text)))
    assert problem == f"verdict says {said}, which is no fact of this report"


@pytest.mark.parametrize(
    "text",
    [
        "FAR is 4.1 %, or 0.041.",
        "16 of 390 good parts (FAR 4.10 %).",
        "Threshold 0.31, precisely 0.3125.",
        "The C-RADIOv2-B backbone and `board_77` at iter2.",
        "1. First do this.\n2. Then that.",
        "-0 and no number at all",
    ],
)
def test_a_fact_may_be_rounded_and_given_in_percent(tmp_path: Path, text: str) -> None:
    assert problems_of(str(write_report(tmp_path, verdict=text))) == []


def damage(folder: Path, kind: str) -> None:
    report = folder / "RCA_Report.md"
    text = report.read_text()
    if kind == "section":
        report.write_text(text.replace("## Threshold Selection", "## Something"))
    elif kind == "table":
        report.write_text(text.replace("4.10 %", "0.00 %"))
    elif kind == "label":
        report.write_text(text.replace("| `bridge` | 10 |\n", ""))
    elif kind == "artifact":
        (folder / "kpi_gaps.parquet").unlink()
    elif kind == "empty artifact":
        (folder / "threshold.txt").write_text("")
    elif kind == "no parquet":
        (folder / "kpi_gaps.parquet").write_text("x")
    elif kind == "facts":
        (folder / "facts.json").write_text("{")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("section", "section missing or empty: Threshold Selection"),
        ("table", "the generated part was changed"),
        ("label", "labels missing from Per-Label Breakdown: bridge"),
        ("artifact", "artifact missing or empty: kpi_gaps.parquet"),
        ("empty artifact", "artifact missing or empty: threshold.txt"),
        ("no parquet", "artifact is no parquet table: kpi_gaps.parquet"),
        ("facts", "facts.json is missing or damaged"),
    ],
)
def test_what_is_missing_or_changed_is_named(tmp_path: Path, kind: str, words: str) -> None:
    report = write_report(tmp_path)
    damage(tmp_path, kind)
    assert any(words in problem for problem in problems_of(str(report)))


def test_only_a_report_beside_its_artifacts_is_one(tmp_path: Path) -> None:
    report = write_report(tmp_path / "step")
    other = tmp_path / "RCA_Report.md"
    other.write_text("my own notes")
    assert is_report(str(report))
    assert not is_report(str(other))
    assert not is_report(str(report.with_name("notes.md")))


def test_what_deft_report_publishes_is_read_as_it_was_meant(tmp_path: Path) -> None:
    text = "# x\n\n## Verdict\n\n<!-- write: verdict -->\nTO WRITE: verdict\n<!-- /write -->\n"
    facts: dict[str, Any] = {"far": 0.041}
    publish(tmp_path, Report("RCA_Report.md", text, facts, ["Verdict"], [], [], {"verdict": "words"}))
    report = tmp_path / "RCA_Report.md"
    assert problems_of(str(report)) == ["to write: verdict"]
    report.write_text(report.read_text().replace("TO WRITE: verdict", "FAR is 4.1 %."))
    assert problems_of(str(report)) == []
    assert json.loads((tmp_path / NAME).read_text())["facts"] == facts


def test_the_blocks_are_those_of_the_renderer() -> None:
    from deft.guard.reports import BLOCK

    assert (BLOCK.pattern, BLOCK.flags) == (RENDERED_BLOCK.pattern, RENDERED_BLOCK.flags)
