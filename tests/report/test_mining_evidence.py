"""Which search a place names, and what is known of it."""

from __future__ import annotations

import shutil

from deft.report.mining_evidence import Search, facts_of, last_search, newest_search, per_label


def test_the_last_search_is_that_of_the_last_iteration_that_has_one(finished, search):
    assert last_search(finished) == search


def test_the_tenth_iteration_comes_after_the_ninth(finished, search, tmp_path):
    run = type(finished)(tmp_path / finished.root.name)
    for name in ("iter9", "iter10"):
        shutil.copytree(search, run.phase(name).mining_filter)
    assert last_search(run) == run.phase("iter10").mining_filter


def test_a_folder_names_itself_or_the_search_below_it(finished, search, tmp_path):
    assert newest_search(search) == search
    assert newest_search(finished.phase("iter2").root) == search
    assert newest_search(tmp_path) is None
    for name in ("2026-01-01_000000", "2026-01-02_000000"):
        shutil.copytree(search, tmp_path / "mining_results" / name)
    assert newest_search(tmp_path) == tmp_path / "mining_results" / "2026-01-02_000000"


def test_labels_cover_both_sides_with_pass_first(search):
    rows = per_label(Search.of(search))
    assert [row["label"] for row in rows] == ["PASS", "bridge", "missing", "shift"]
    assert sum(row["kept"] for row in rows) == facts_of(Search.of(search))["kept"]


def test_no_kept_pair_crosses_the_classes_under_a_label_filter(search):
    assert facts_of(Search.of(search))["cross_class"] == 0
