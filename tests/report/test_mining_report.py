"""The report on a search: row counts, encoder and filters made auditable."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pyarrow as pa
import pytest

from deft.cli.main import main
from deft.embedding.sets import EmbeddingSet, write_embeddings
from deft.errors import InputRefused
from deft.guard.reports import problems_of
from deft.report.facts_record import publish
from deft.report.markdown import word_count
from deft.report.mining_report import NAME, SECTIONS, mining_report
from report_texts import finished_text, headings

PROSE = "These rows are what the weak samples need, and there are enough of them to go on. " * 5


@pytest.fixture
def alone(search, tmp_path):
    """Return a copy of the search that no run contains."""
    return shutil.copytree(search, tmp_path / "iter" / "mining_results" / "2026-01-01_000000")


def test_the_report_has_its_seven_sections_in_order(search):
    assert headings(mining_report(search).text) == list(SECTIONS)
    assert len(SECTIONS) == 7


def test_a_finished_report_has_600_to_1200_words(search, alone):
    for folder in (search, alone):
        assert 600 <= word_count(finished_text(mining_report(folder).text, PROSE)) <= 1200


def test_the_counts_are_those_of_the_artifacts(search):
    facts = mining_report(search).facts
    neighbours = pd.read_parquet(search / "neighbours.parquet")
    assert facts["kept"] == len(pd.read_parquet(search / "mined.parquet"))
    assert facts["targets"] == len(pd.read_parquet(search / "target_embeddings.parquet"))
    assert facts["kept_pairs"] == int(neighbours["kept"].sum())
    assert facts["similarity.max"] == neighbours["similarity"].max()


def test_history_yield_and_the_next_table_are_known_inside_a_run(finished, search):
    facts = mining_report(search).facts
    first = pd.read_parquet(finished.phase("iter1").mining_filter / "mined.parquet")
    assert facts["mined_before"] == facts["kept_before"] == len(first)
    assert facts["training_rows"] == len(pd.read_csv(finished.phase("iter2").combined_table))


def test_the_first_search_has_no_yield_before_it(finished):
    facts = mining_report(finished.phase("iter1").mining_filter).facts
    assert facts["kept_before"] is None
    assert facts["mined_before"] == 0


def test_a_search_alone_knows_no_history(alone):
    report = mining_report(alone)
    assert report.facts["mined_before"] is None
    assert headings(report.text) == list(SECTIONS)


def test_kept_rows_are_divided_by_label_and_origin(search):
    report = mining_report(search)
    pool = pd.read_csv(search / "mining_pool.csv")
    for label in report.labels:
        mine = pool[pool["label"] == label]
        assert report.facts[f"label.{label}.kept"] == len(mine)
        assert report.facts[f"label.{label}.synthetic"] == int((mine["provenance"] == "sdg").sum())


def test_targets_without_labels_skip_the_breakdown(alone):
    path = alone / "target_embeddings.parquet"
    side = EmbeddingSet.read(path)
    _rewrite(path, side.table.drop(columns="label"), side.matrix, side.fingerprint)
    report = mining_report(alone)
    assert report.labels == []
    assert "Skipped: the targets carry no labels" in report.text


def test_one_encoder_on_both_sides_is_said_and_two_are_shouted(alone):
    assert mining_report(alone).facts["encoder"] == "same"
    path = alone / "target_embeddings.parquet"
    side = EmbeddingSet.read(path)
    _rewrite(path, side.table, side.matrix, {"model": "another", "width": 8})
    report = mining_report(alone)
    assert report.facts["encoder"] == "different"
    assert "Their distances mean nothing" in report.text


def _rewrite(path, table, matrix, fingerprint):
    write_embeddings(path, pa.Table.from_pandas(table, preserve_index=False), matrix, fingerprint)


def test_tables_of_the_container_have_no_encoder_and_no_evidence(alone):
    for name in ("target_embeddings.parquet", "source_embeddings.parquet"):
        pd.read_parquet(alone / name).to_parquet(alone / name, index=False)
    for name in ("neighbours.parquet", "knn_summary.csv"):
        (alone / name).unlink()
    report = mining_report(alone)
    assert report.facts["encoder"] == "unnamed"
    assert "No pair of a target and a row is on record" in report.text
    assert headings(report.text) == list(SECTIONS)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda paths: [*paths, paths[0]], "every mined row stands once"),
        (lambda paths: [*paths, "elsewhere.png"], "every mined row is a row of the pool"),
        (lambda paths: [], "something was mined"),
    ],
)
def test_a_result_that_cannot_be_right_fails_its_check(alone, change, check):
    mined = pd.read_parquet(alone / "mined.parquet")["filepath"].tolist()
    frame = pd.DataFrame({"filepath": pd.Series(change(mined), dtype=object)})
    frame.to_parquet(alone / "mined.parquet", index=False)
    text = mining_report(alone).text
    assert f"| {check} | NO |" in text


def test_a_sound_result_passes_every_check(search):
    assert "| NO |" not in mining_report(search).text


def test_a_folder_without_a_search_is_refused(tmp_path):
    with pytest.raises(InputRefused, match="holds no mining results"):
        mining_report(tmp_path)


@pytest.mark.usefixtures("approved_home")
def test_the_verb_writes_into_the_last_search_of_a_run(finished, search, capsys):
    assert main(["report", "mining", str(finished.root), "--json"]) == 0
    answer = capsys.readouterr().out
    assert len(answer.encode()) <= 1024
    assert json.loads(answer)["report"] == str(search / NAME)
    assert json.loads((search / "facts.json").read_text())["sections"] == list(SECTIONS)


def test_the_verb_writes_nothing_where_the_approval_does_not_hold(finished, capsys):
    folder = finished.phase("iter1").mining_filter
    assert main(["report", "mining", str(folder)]) == 4
    assert not (folder / NAME).exists()


def test_the_verb_works_on_a_search_alone(alone, capsys):
    assert main(["report", "mining", str(alone.parent.parent), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(alone / NAME)


def test_kept_pairs_of_both_ends_are_shown_to_be_looked_at(search):
    section = mining_report(search).text.split("## Output Sanity")[1].split("## Recommended")[0]
    assert section.count("_SolderLight.png` | `") == 6


def test_a_finished_report_passes_the_check_of_the_hooks_and_an_invented_number_does_not(alone):
    publish(alone, mining_report(alone))
    path = alone / NAME
    assert [line for line in problems_of(str(path)) if line.startswith("to write")]
    facts = json.loads((alone / "facts.json").read_text())["facts"]
    true, false = f"{facts['kept']} rows were kept.", "It was 987.6 before."
    path.write_text(finished_text(path.read_text(), PROSE).replace(PROSE, PROSE + true))
    assert problems_of(str(path)) == []
    path.write_text(path.read_text().replace(true, false))
    assert any("987.6" in line for line in problems_of(str(path)))
