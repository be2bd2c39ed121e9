"""The gate: figures from scores alone, the better checkpoint, promotion only by the rule."""

from __future__ import annotations

import pandas as pd
import pytest

from deft import files
from deft.errors import StageFailed
from deft.metrics.kpi import defect_flags, far_at_recall, sweep
from deft.metrics.target import parse_target
from deft.stages.evaluate import rank, read_scores


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


def test_every_logged_figure_follows_from_the_scores_on_disk(state):
    for phase in state["iterations"].values():
        table = pd.read_csv(phase["inference_csv"])
        strictest = far_at_recall(sweep(table["siamese_score"], defect_flags(table["label"])), 1.0)
        assert phase["far_pct"] == pytest.approx(100 * strictest.far)
        assert phase["threshold"] == strictest.threshold


def test_both_checkpoints_and_all_sets_are_scored(finished):
    folder = finished.phase("baseline").inference
    scored = {path.relative_to(folder).as_posix() for path in folder.rglob("inference.csv")}
    sets = ("", "validation/", "holdout/")
    assert scored == {f"{kind}/{name}inference.csv" for kind in ("best_val", "latest") for name in sets}


def test_the_validation_threshold_and_the_held_out_set_stand_beside_the_kpi_figures(state):
    kpi = state["iterations"]["iter1"]["kpi"]
    assert kpi["validation_calibrated"]["validation"]["missed"] == 0
    assert kpi["holdout"]["validation_calibrated"]["threshold"] == kpi["validation_calibrated"]["threshold"]


@pytest.mark.parametrize(("column", "cell"), [("siamese_score", "nan"), ("score", "0.5")])
def test_a_table_without_a_number_for_every_row_fails_the_stage(tmp_path, column, cell):
    path = tmp_path / "inference.csv"
    files.write_text(path, f"input_path,golden_path,label,object_name,{column}\na,g,PASS,c,{cell}\n")
    with pytest.raises(StageFailed):
        read_scores(path)
