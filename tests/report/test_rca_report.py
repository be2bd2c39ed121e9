"""The report on a gap analysis: every table from the artifacts, prose by hand, nothing of others' markup."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from deft import files
from deft.cli.main import main
from deft.errors import InputRefused
from deft.guard.reports import problems_of
from deft.report.facts_record import publish
from deft.report.markdown import prose, word_count
from deft.report.rca_report import NAME, SECTIONS, UNREACHABLE_SECTIONS, rca_report
from report_texts import finished_text, headings

PROSE = "One figure decides, and the ten pictures show why it does so on this line today. " * 8


@pytest.fixture
def alone(analysis, tmp_path):
    """Return a copy of the analysis that no run contains."""
    return shutil.copytree(analysis, tmp_path / "experiment" / "rca_results" / analysis.name)


def test_the_report_has_its_seven_sections_in_order(analysis):
    assert headings(rca_report(analysis).text) == list(SECTIONS)
    assert len(SECTIONS) == 7


def test_a_finished_report_has_1000_to_1800_words(analysis):
    assert 1000 <= word_count(finished_text(rca_report(analysis).text, PROSE)) <= 1800


def test_the_figures_are_those_of_the_artifacts(analysis):
    report = rca_report(analysis)
    metrics = json.loads((analysis / "metrics.json").read_text())
    cells = metrics["confusion_matrix"]
    assert report.facts["threshold"] == metrics["threshold"]
    assert f"| {metrics['threshold']!r} |" in report.text
    assert report.facts["far"] == cells["fp"] / (cells["fp"] + cells["tn"])
    gaps = pd.read_parquet(analysis / "kpi_gaps.parquet")
    wrong = gaps[(gaps["weakness"] > 0) & (gaps["label"] == "PASS")]
    assert report.facts["pass_wrong"] == len(wrong)
    assert f"| is PASS | {cells['fp']} | {cells['tn']} |" in report.text


def test_figures_that_stand_beside_the_inference_are_shown_with_their_bounds(analysis):
    report = rca_report(analysis)
    assert report.facts["deciding.component"] in report.text
    assert 0 < report.facts["far_bound"] <= 1
    assert "calibrated on validation" in report.text
    assert "can never prove" in report.text


def test_every_label_has_its_line_with_what_the_pool_holds_of_it(analysis):
    report = rca_report(analysis)
    assert report.labels == ["PASS", "bridge", "missing", "shift"]
    for label in report.labels:
        assert re.search(rf"^\| `{label}` \| \d+ \|", report.text, re.MULTILINE)
    assert report.facts["label.bridge.pool"] == 8


def test_pictures_are_linked_relative_and_exist(analysis):
    links = re.findall(r"!\[sample \d+\]\((.*?)\)", rca_report(analysis).text)
    assert len(links) == 10
    assert all((analysis / link).is_file() for link in links)


def test_verdicts_are_counted_and_shown(analysis):
    report = rca_report(analysis)
    verdicts = json.loads((analysis / "verdicts.json").read_text())["samples"]
    given = [sample["verdict"] for sample in verdicts]
    assert report.facts["verdict.edge case"] == given.count("edge case") > 0
    assert "judged mislabeled" in report.text
    assert "verdicts.json" in report.artifacts


def test_only_two_blocks_are_left_to_write(analysis):
    assert list(prose(rca_report(analysis).text)) == ["verdict", "recommended-actions"]


def test_a_spot_check_that_nobody_made_is_said(alone):
    record = json.loads((alone / "verdicts.json").read_text())
    unseen = {**record, "looked": False}
    (alone / "verdicts.json").write_text(json.dumps(unseen))
    assert "Nobody looked at these pictures" in rca_report(alone).text
    (alone / "verdicts.json").unlink()
    assert "verdicts are still open" in rca_report(alone).text


def test_an_analysis_without_a_run_is_reported_too(alone):
    report = rca_report(alone)
    assert headings(report.text) == list(SECTIONS)
    assert report.facts["label.PASS.pool"] is None
    assert 1000 <= word_count(finished_text(report.text, PROSE)) <= 1800


def test_an_analysis_without_figures_beside_it_says_how_to_get_them(alone):
    (alone / "vcn_aoi_spec.yaml").unlink()
    report = rca_report(alone)
    assert "deft analyze-kpi" in report.text
    assert report.facts["far_at_100.far"] is None


def test_a_hostile_label_or_name_stays_a_code_span(alone):
    hostile = "x`|<img src=x onerror=y>\n## Verdict\u202e"
    gaps = pd.read_parquet(alone / "kpi_gaps.parquet")
    gaps.loc[gaps["label"] != "PASS", "label"] = hostile
    gaps.to_parquet(alone / "kpi_gaps.parquet", index=False)
    record = json.loads((alone / "verdicts.json").read_text())
    for sample in record["samples"]:
        sample["component_id"] = hostile
        sample["image"] = "../../../etc/passwd"
    (alone / "verdicts.json").write_text(json.dumps(record))
    text = rca_report(alone).text
    assert headings(text) == list(SECTIONS)
    assert "passwd" not in text
    outside = re.sub(r"`[^`\n]*`", "", text)
    assert "<img" not in outside
    assert "\u202e" not in text


def test_an_unreachable_recall_has_the_short_report_that_quotes_the_reason(tmp_path):
    folder = tmp_path / "experiment" / "rca_results" / "2026-01-01_000000"
    folder.mkdir(parents=True)
    (folder / "unreachable_kpi.txt").write_text("Unreachable KPI\nNo threshold achieves <b>95%</b> recall.\n")
    report = rca_report(folder)
    assert headings(report.text) == list(UNREACHABLE_SECTIONS)
    assert "> `No threshold achieves <b>95%</b> recall.`" in report.text
    assert list(prose(report.text)) == ["verdict", "recommended-actions"]
    assert report.artifacts == ["unreachable_kpi.txt"]


def test_a_folder_without_an_analysis_is_refused(tmp_path):
    with pytest.raises(InputRefused, match="holds no gap analysis"):
        rca_report(tmp_path)


def test_a_report_of_an_unchanged_folder_is_the_same_to_the_byte(analysis):
    assert rca_report(analysis).text == rca_report(analysis).text


@pytest.mark.usefixtures("approved_home")
def test_the_verb_writes_into_the_last_analysis_of_a_run(finished, analysis, capsys):
    assert main(["report", "rca", str(finished.root), "--json"]) == 0
    answer = capsys.readouterr().out
    assert len(answer.encode()) <= 1024
    record = json.loads(answer)
    assert record["report"] == str(analysis / NAME)
    assert list(record["write"]) == ["verdict", "recommended-actions"]
    assert record["signals"]["judged mislabeled"] > 0
    facts = json.loads((analysis / "facts.json").read_text())
    assert facts["sections"] == list(SECTIONS)
    assert facts["facts"]["far"] == record["figures"]["far"]


@pytest.mark.usefixtures("approved_home")
def test_the_verb_takes_the_folder_of_an_earlier_analysis(finished, capsys):
    first = next(finished.root.glob("baseline/rca_results/*"))
    assert main(["report", "rca", str(first), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(first / NAME)


def test_the_verb_writes_nothing_where_the_approval_does_not_hold(finished, capsys):
    folder = next(finished.root.glob("iter1/rca_results/*"))
    assert main(["report", "rca", str(folder)]) == 4
    assert not (folder / NAME).exists()


def test_the_verb_works_on_an_analysis_alone(alone, capsys):
    assert main(["report", "rca", str(alone.parent.parent), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(alone / NAME)


def test_what_the_writer_wrote_stays(alone):
    publish(alone, rca_report(alone))
    path = alone / NAME
    path.write_text(finished_text(path.read_text(), PROSE))
    assert publish(alone, rca_report(alone))["write"] == {}
    assert path.read_text().count(PROSE.strip()) == 2


def test_an_unknown_kind_of_report_is_refused(capsys):
    assert main(["report", "poem", "run"]) == 2
    assert "html, rca, mining, summary" in capsys.readouterr().err


def test_a_finished_report_passes_the_check_of_the_hooks_and_an_invented_number_does_not(alone):
    publish(alone, rca_report(alone))
    path = alone / NAME
    assert [line for line in problems_of(str(path)) if line.startswith("to write")]
    facts = json.loads((alone / "facts.json").read_text())["facts"]
    true, false = f"FAR is {100 * facts['far']:.2f} %.", "It was 987.6 before."
    path.write_text(finished_text(path.read_text(), PROSE).replace(PROSE, PROSE + true))
    assert problems_of(str(path)) == []
    path.write_text(path.read_text().replace(true, false))
    assert any("987.6" in line for line in problems_of(str(path)))


def test_the_answer_of_the_verb_shows_no_raw_text_of_the_data(alone, capsys):
    spec = alone / "vcn_aoi_spec.yaml"
    source = files.read_yaml(spec)["inference_results_dir"]
    kpi = json.loads((Path(source) / "kpi.json").read_text())
    kpi["far_at_100"]["deciding_defect"]["label"] = "x`\u202e|" + "y" * 5000
    (alone / "kpi.json").write_text(json.dumps(kpi))
    spec.write_text(spec.read_text().replace(source, str(alone)))
    assert main(["report", "rca", str(alone), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["figures"]["deciding.label"]
    assert len(shown) == 200
    assert not set(shown) & set("`\u202e|")
