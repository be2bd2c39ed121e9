"""The rules of an evaluation: what is compared, what ranks higher, what replaces the incumbent."""

from __future__ import annotations

import pytest

from deft import files
from deft.errors import StageFailed
from deft.metrics.target import parse_target
from deft.run.evaluation import (
    BEST,
    LATEST,
    choose,
    compared_checkpoints,
    decision,
    incumbent_stays,
    rank,
    read_scores,
    require_every_score,
)


def figures(target, far, auroc):
    return {"target_value": target, "far_at_99_5": {"far": far}, "auroc": auroc}


def test_models_are_ranked_by_the_targets_figure_then_far_at_99_5_then_auroc():
    target = parse_target("FAR < 0.1% at recall = 100%")
    ordered = [
        figures(0.1, 0.3, 0.9),
        figures(0.2, 0.05, 0.9),
        figures(0.2, 0.05, 0.8),
        figures(0.2, 0.1, 1.0),
    ]
    assert sorted(ordered, key=lambda each: rank(target, each)) == ordered


@pytest.mark.parametrize(("column", "cell"), [("siamese_score", "nan"), ("score", "0.5")])
def test_a_table_without_a_number_for_every_row_fails_the_stage(tmp_path, column, cell):
    path = tmp_path / "inference.csv"
    files.write_text(path, f"input_path,golden_path,label,object_name,{column}\na,g,PASS,c,{cell}\n")
    with pytest.raises(StageFailed):
        read_scores(path)


def evaluated(far, far_at_99_5=0.1):
    return {
        "target_value": far,
        "far_at_100": {"far": far, "threshold": 0.5},
        "far_at_99_5": {"far": far_at_99_5},
        "auroc": 0.9,
        "rules": {"far": "what it means"},
    }


def test_one_checkpoint_that_is_both_best_and_latest_is_compared_once():
    same = {"best_ckpt_path": "/run/a.pth", "latest_ckpt_path": "/run/a.pth"}
    assert list(compared_checkpoints(same)) == [BEST]
    assert list(compared_checkpoints({**same, "latest_ckpt_path": "/run/b.pth"})) == [BEST, LATEST]


def test_of_equal_checkpoints_the_best_by_validation_is_chosen():
    target = parse_target("FAR < 1% at recall = 100%")
    assert choose(target, {LATEST: evaluated(0.2), BEST: evaluated(0.2)}) == BEST
    assert choose(target, {LATEST: evaluated(0.1), BEST: evaluated(0.2)}) == LATEST


def test_only_a_strictly_better_candidate_replaces_the_incumbent():
    target = parse_target("FAR < 1% at recall = 100%")
    equal = decision("iter1", evaluated(0.2), target, evaluated(0.2), "s.csv")
    better = decision("iter1", evaluated(0.1), target, evaluated(0.2), "s.csv")
    first = decision("baseline", evaluated(0.9), target, None, "s.csv")
    assert "incumbent" not in equal
    assert [record["promoted"] for record in (equal, better, first)] == [False, True, True]
    assert better["incumbent"] == "iter1"
    assert "rules" not in better["kpi"]
    assert decision("iter1", evaluated(0.005), target, None, "s.csv")["target_met"] is True


def test_the_rule_of_the_plan_decides_on_promotion():
    """Of two models one has the better target, the other the better AUROC: the plan says which counts."""
    target = parse_target("FAR < 0.1% at recall = 100%")
    best = {**evaluated(0.2), "auroc": 0.8}
    candidate = {**evaluated(0.3), "auroc": 0.9}
    assert not decision("iter1", candidate, target, best, "s")["promoted"]
    by_auroc = decision("iter1", candidate, target, best, "s", ["auroc"])
    assert by_auroc["incumbent"] == "iter1"


def test_that_the_incumbent_stays_is_said_with_the_figures_that_were_compared():
    ours, best = {**evaluated(0.3), "auroc": 0.9}, {**evaluated(None), "auroc": 0.8}
    said = incumbent_stays("iter2", ours, "iter1", best, ["target", "auroc"])
    assert said == (
        "iter2 is not better than iter1, which stays the best model "
        "(target 0.3 against none; auroc 0.9 against 0.8)"
    )


HEADER = "input_path,golden_path,object_name,label,siamese_score"
ASKED = ["a,g,001,PASS,", "a,g,C2,Open,", "7.0,g,C3,PASS,"]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (["a,g,1,PASS,0.1", "a,g,C2,open ,0.2", "7,g,C3,PASS,inf"], ""),
        (["a,g,1,PASS,0.1", "a,g,C2,open,0.2"], "2 rows of 3"),
        (
            ["a,g,1,PASS,0.1", "7,g,C3,PASS,0.2", "a,g,C2,open,0.3"],
            "another input_path than asked for in row 3",
        ),
        (["a,g,1,PASS,0.1", "a,g,C2,PASS,0.2", "7,g,C3,PASS,0.3"], "another label than asked for in row 3"),
        (["a,g,1,PASS,", "a,g,C2,open,0.2", "7,g,C3,PASS,0.3"], "no number in row 2"),
        (["a,g,1,PASS,0.1", "a,g,C2,open,nan", "7,g,C3,PASS,0.3"], "no number in row 3"),
    ],
)
def test_every_row_that_was_asked_for_has_a_score_of_its_own(tmp_path, rows, fault):
    asked = files.write_text(tmp_path / "asked.csv", "\n".join([HEADER, *ASKED]) + "\n")
    scores = files.write_text(tmp_path / "inference.csv", "\n".join([HEADER, *rows]) + "\n")
    if not fault:
        require_every_score(scores, asked)
        return
    with pytest.raises(StageFailed, match=fault):
        require_every_score(scores, asked)
