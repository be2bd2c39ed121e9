"""The gate: figures from scores alone, the better checkpoint, promotion only by the rule."""

from __future__ import annotations

import pandas as pd
import pytest

from deft.metrics.kpi import defect_flags, far_at_recall, sweep


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
