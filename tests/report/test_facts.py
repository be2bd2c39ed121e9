"""What a report knows of a run, from its folder alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from deft import files
from deft.loop import run_loop
from deft.metrics.figure_text import percent_text
from deft.report.facts import MINED_TARGETS, WEAKEST, RunFacts
from deft.run.log import LoopLog
from deft.workspace.layout import RunFolder
from deft.workspace.rows import read_table, write_table
from forging import aimed_at
from loop_fixtures import SILENT, new_run

COST = "cost(escape=100, false_alarm=1) < 50"
RECALL = "recall >= 99.5% at FAR <= 1%"


@pytest.fixture
def facts(finished):
    return RunFacts.of(finished)


@pytest.fixture
def moved(finished, tmp_path):
    """The same run with its whole workspace, elsewhere."""
    root = shutil.copytree(finished.workspace.root, tmp_path / "elsewhere", symlinks=True)
    return RunFolder(root / "results" / finished.root.name)


def test_the_deciding_defect_is_the_one_that_scores_lowest(facts):
    for name, phase in facts.evaluated.items():
        scores = facts.scores(name)
        lowest = scores[scores["label"] != "PASS"].sort_values("siamese_score").iloc[0]
        image, golden = facts.deciding_picture(phase)
        stem = f"{lowest['object_name']}_SolderLight.png"
        assert image == facts.run.workspace.images / lowest["input_path"] / stem
        assert golden == facts.run.workspace.images / lowest["golden_path"] / stem
        assert image.is_file()


def test_a_defect_whose_row_is_another_by_now_has_no_picture(facts, moved):
    phase = facts.incumbent
    table = read_table(moved.workspace.kpi_table)
    write_table(moved.workspace.kpi_table, table.iloc[::-1])
    assert RunFacts.of(moved).deciding_picture(phase) is None
    write_table(moved.workspace.kpi_table, table.head(3))
    assert RunFacts.of(moved).deciding_picture(phase) is None


def test_a_path_is_found_where_the_run_and_its_workspace_are_now(facts, moved):
    there = RunFacts.of(moved)
    for phase in there.evaluated.values():
        for name in ("best_ckpt_path", "inference_csv"):
            assert there.place(phase[name]).is_relative_to(moved.root)
            assert there.place(phase[name]).read_bytes() == Path(phase[name]).read_bytes()
    image = str(facts.deciding_picture(facts.incumbent)[0])
    assert there.place(image).is_relative_to(moved.workspace.root)


def test_a_run_that_was_moved_alone_still_finds_the_pictures_of_its_workspace(facts, finished, tmp_path):
    alone = RunFolder(shutil.copytree(finished.root, tmp_path / finished.root.name))
    there = RunFacts.of(alone)
    assert there.scores("iter1").equals(facts.scores("iter1"))
    assert there.deciding_picture(there.incumbent) == facts.deciding_picture(facts.incumbent)
    sample = there.weakest_pairs()[0]
    assert there.place(sample["golden_filepath"]).is_file()


def test_scores_are_numbers_beside_their_labels(facts):
    scores = facts.scores("baseline")
    assert pd.api.types.is_float_dtype(scores["siamese_score"])
    assert (scores["label"] == "PASS").sum() == 30


def test_scores_that_were_written_since_are_read_again(moved):
    facts = RunFacts.of(moved)
    before = facts.scores("baseline")
    path = facts.place(facts.evaluated["baseline"]["inference_csv"])
    files.write_csv(path, files.read_csv(path).head(3))
    assert len(before) > 3
    assert len(facts.scores("baseline")) == 3


def test_the_weakest_pairs_are_at_most_ten_and_carry_the_verdicts(facts):
    pairs = facts.weakest_pairs()
    assert len(pairs) == WEAKEST
    assert {pair["verdict"] for pair in pairs} == {"mislabeled", "edge case", "data quality", "systematic"}


def test_a_pair_that_nobody_looked_at_has_no_verdict(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    assert RunFacts.of(run).weakest_pairs() == []
    run_loop(run, SILENT, until_judgement=True)
    pairs = RunFacts.of(run).weakest_pairs()
    assert pairs
    assert all("verdict" not in pair for pair in pairs)


def test_what_was_mined_is_shown_for_some_targets_with_the_kept_rows_alone(facts, finished):
    examples = facts.mined_examples()
    neighbours = files.read_parquet(finished.phase("iter2").mining_filter / "neighbours.parquet")
    assert 1 <= len(examples) <= MINED_TARGETS
    for target, sources, similarity in examples:
        rows = neighbours[(neighbours["target_filepath"] == target) & neighbours["kept"]]
        assert sources == rows["source_filepath"].tolist()
        assert similarity == rows["similarity"].max()


def test_training_rows_are_counted_by_where_they_came_from(facts, finished):
    assert [row["phase"] for row in facts.training_rows()] == ["iter1", "iter2"]
    for row in facts.training_rows():
        combined = read_table(finished.phase(row["phase"]).combined_table)
        assert sum(count for kind, count in row.items() if kind != "phase") == len(combined)
        assert row["base"] == len(read_table(finished.workspace.training_table))


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        ("FAR < 99% at recall = 100%", "Target met: FAR < 99% at recall >= 100% ({best}: {far})."),
        (
            "FAR < 0.1% at recall = 100%",
            "The loop ended (max iterations) before the target was reached: "
            "FAR < 0.1% at recall >= 100% ({best}: {far}).",
        ),
    ],
)
def test_the_verdict_says_what_came_of_the_target(tmp_path, monkeypatch, target, verdict):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1, target=target)
    assert RunFacts.of(run).verdict() == "No model has been evaluated yet."
    run_loop(run, SILENT)
    facts = RunFacts.of(run)
    far = percent_text(facts.incumbent["kpi"]["far_at_100"]["far"])
    assert facts.verdict() == verdict.format(best=facts.state["incumbent"], far=far)


@pytest.mark.parametrize(
    ("target", "values", "ending"),
    [
        (COST, (90.0, 30.0, 40.0), f"Target met: {COST} (iter1: 30)."),
        (COST, (90.0, 60.0, 70.0), f"reached: {COST} (iter1: 60)."),
        (RECALL, (0.01, 2 / 30, 0.05), f"reached: {RECALL} (iter1: 6.67%)."),
        ("FAR < 1% at precision >= 90%", (None, None, None), "precision >= 90% (iter2: none)."),
        (COST, (), f"reached: {COST}."),
    ],
)
def test_the_verdict_gives_the_figure_of_the_model_nearest_to_the_target(
    finished, tmp_path, target, values, ending
):
    facts = RunFacts.of(aimed_at(finished, tmp_path, target, *values))
    assert facts.verdict().endswith(ending)


def test_each_phase_has_the_targets_figure_where_no_other_column_holds_it(finished, tmp_path):
    def figures(target, *values):
        return RunFacts.of(
            aimed_at(finished, tmp_path / target.partition(" ")[2], target, *values)
        ).target_figures()

    assert figures(COST, 90.0, 30.0) == {"baseline": "90", "iter1": "30"}  # iter2: of an older version
    assert figures(RECALL, 0.01, 0.5, None) == {"baseline": "1%", "iter1": "50%", "iter2": "none"}
    assert figures("FAR < 1% at recall >= 97%", 0.1, 0.2, 0.3)["iter2"] == "30%"
    for recall in ("100%", "99.5%", "99%"):
        assert figures(f"FAR < 1% at recall >= {recall}", 0.1, 0.2, 0.3) == {}


def test_the_verdict_of_a_run_at_work_says_that_it_goes_on(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT, until_judgement=True)
    assert RunFacts.of(run).verdict().startswith("The loop goes on before the target was reached")


def test_what_a_stage_said_must_not_be_missed_is_kept_with_where(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    entry = {"iter": "baseline", "stage": "remark", "status": "ok", "summary": "seen", "kind": "note"}
    LoopLog(run.log).append({**entry, "outcome": {"events": ["batch lowered to 8"]}})
    assert RunFacts.of(run).events() == [("baseline remark", "batch lowered to 8")]


def test_a_picture_that_lies_outside_the_data_of_the_run_is_not_shown(finished, tmp_path: Path) -> None:
    outside = tmp_path / "private.png"
    Image.new("RGB", (2, 2)).save(outside)
    root = shutil.copytree(finished.workspace.root, tmp_path / "handed over", symlinks=True)
    run = RunFolder(root / "results" / finished.root.name)
    assert all(pair["filepath"] for pair in RunFacts.of(run).weakest_pairs())
    for listing in run.root.rglob("spot_check.json"):
        samples = files.read_json(listing)["samples"]
        files.write_json(listing, {"samples": [{**one, "filepath": str(outside)} for one in samples]})
    for verdicts in run.root.rglob("verdicts.json"):
        verdicts.unlink()
    pairs = RunFacts.of(run).weakest_pairs()
    assert pairs
    assert not any(pair["filepath"] for pair in pairs)
    assert all(pair["golden_filepath"] for pair in pairs)
