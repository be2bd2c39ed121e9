"""What a report claims stands beside it in a form that a program can compare."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from deft.report.facts_record import Report, publish
from deft.report.markdown import without_prose

TEXT = "# Report\n<!-- write: verdict -->\nTO WRITE: verdict\n<!-- /write -->\n"


def report(**facts):
    return Report(
        "Some_Report.md", TEXT, facts, ["Verdict"], ["PASS", "a|b"], ["metrics.json"], {"verdict": "a word"}
    )


def written(folder):
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


def test_a_report_and_its_record_are_written_side_by_side(tmp_path):
    answer = publish(tmp_path, report(far=0.25))
    assert (tmp_path / "Some_Report.md").read_text(encoding="utf-8") == TEXT
    assert answer == {"report": str(tmp_path / "Some_Report.md"), "words": 4, "write": {"verdict": "a word"}}
    record = written(tmp_path)
    assert record["report"] == "Some_Report.md"
    assert (record["sections"], record["artifacts"]) == (["Verdict"], ["metrics.json"])


@pytest.mark.parametrize(
    ("value", "kept"),
    [(3, 3), (0.5, 0.5), ("plain", "plain"), (True, "true"), ("a|b\n", "a¦b")],
)
def test_a_fact_is_a_number_or_a_clean_text(tmp_path, value, kept):
    publish(tmp_path, report(fact=value))
    assert written(tmp_path)["facts"] == {"fact": kept}


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_figure_without_a_value_is_left_out(tmp_path, value):
    publish(tmp_path, report(fact=value))
    assert written(tmp_path)["facts"] == {}


def test_labels_are_spelled_as_the_report_shows_them(tmp_path):
    publish(tmp_path, report())
    assert written(tmp_path)["labels"] == ["PASS", "a¦b"]


def test_the_digest_holds_for_the_finished_report_and_not_for_a_changed_table(tmp_path):
    publish(tmp_path, report())
    finished = TEXT.replace("TO WRITE: verdict", "All is well.")
    digest = written(tmp_path)["generated_sha256"]
    assert digest == hashlib.sha256(without_prose(finished).encode()).hexdigest()
    changed = finished.replace("# Report", "# Better report")
    assert digest != hashlib.sha256(without_prose(changed).encode()).hexdigest()


def test_publishing_again_keeps_the_prose_and_asks_for_nothing(tmp_path):
    publish(tmp_path, report())
    path = tmp_path / "Some_Report.md"
    path.write_text(TEXT.replace("TO WRITE: verdict", "All is well."), encoding="utf-8")
    assert publish(tmp_path, report())["write"] == {}
    assert "All is well." in path.read_text(encoding="utf-8")


def test_signals_are_facts_too(tmp_path):
    publish(tmp_path, replace(report(), signals={"defects missed": 2}))
    assert written(tmp_path)["facts"] == {"signal.defects missed": 2}
