"""Which analysis a place names, and what is known of it."""

from __future__ import annotations

import json
import shutil

from deft.report.rca_evidence import Analysis, facts_of, last_analysis, newest_analysis, per_label
from deft.run.log import LoopLog


def test_the_last_analysis_of_a_run_is_the_last_completed_one(finished, analysis):
    assert last_analysis(finished) == analysis


def test_an_analysis_that_no_threshold_satisfied_is_found_in_its_attempt(finished, tmp_path):
    copy = type(finished)(shutil.copytree(finished.root, tmp_path / "results" / finished.root.name))
    attempt = copy.root / "iter2" / "rca_results" / "rca_results.attempt-2"
    attempt.mkdir()
    (attempt / "unreachable_kpi.txt").write_text("none\n")
    assert last_analysis(copy) != attempt
    lines = copy.log.read_text().splitlines()
    stop = next(i for i, line in enumerate(lines) if json.loads(line)["stage"] == "loop_stop")
    until_rca = next(i for i, line in enumerate(lines) if json.loads(line)["iter"] == "iter2")
    copy.log.write_text("\n".join(lines[:until_rca]) + "\n")
    assert stop > until_rca
    failure = {"iter": "iter1", "stage": "rca", "status": "error", "summary": "no threshold", "kind": "note"}
    LoopLog(copy.log).append(failure)
    assert last_analysis(copy) == attempt


def test_a_folder_names_itself_or_its_newest_analysis(finished, analysis, tmp_path):
    assert newest_analysis(analysis) == analysis
    assert newest_analysis(finished.phase("iter2").root) == analysis
    assert newest_analysis(tmp_path) is None


def test_an_analysis_of_a_copied_workspace_shows_the_pictures_of_the_copy(finished, analysis, tmp_path):
    copy = shutil.copytree(finished.workspace.root, tmp_path / "copy")
    found = Analysis.of(copy / analysis.relative_to(finished.workspace.root))
    assert len(found.weak) == len(Analysis.of(analysis).weak)
    assert all(path.startswith(f"{copy}/") for path in found.weak["filepath"])


def test_an_analysis_of_a_copied_run_alone_shows_the_pictures_where_they_are(finished, analysis, tmp_path):
    copy = shutil.copytree(finished.root, tmp_path / "results" / finished.root.name)
    (tmp_path / "kpi").mkdir()
    shutil.copy(finished.workspace.kpi_table, tmp_path / "kpi")
    shutil.copytree(finished.workspace.specs, tmp_path / "specs")
    found = Analysis.of(copy / analysis.relative_to(finished.root))
    assert set(found.weak["filepath"]) == set(Analysis.of(analysis).weak["filepath"])


def test_labels_are_spelled_as_tables_spell_them_with_pass_first(analysis):
    rows = per_label(Analysis.of(analysis))
    assert [row["label"] for row in rows] == ["PASS", "bridge", "missing", "shift"]
    assert sum(row["rows"] for row in rows) == facts_of(Analysis.of(analysis))["rows"]


def test_a_component_counts_once_whatever_its_lights(analysis):
    found = Analysis.of(analysis)
    assert found.weak["component_id"].is_unique
    assert facts_of(found)["weak_kept"] == len(found.weak)


def test_every_sample_has_its_figures_among_the_facts(analysis):
    found = Analysis.of(analysis)
    facts = facts_of(found)
    for sample in found.samples:
        assert facts[f"sample.{sample['number']}.score"] == sample["siamese_score"]
