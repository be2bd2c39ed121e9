"""The gate: figures from scores alone, the better checkpoint, promotion only by the rule."""

from __future__ import annotations

import pandas as pd
import pytest

from deft.errors import StageFailed, StateConflict
from deft.loop import run_loop
from deft.metrics.kpi import defect_flags, far_at_recall, sweep
from deft.workspace.rows import read_table
from deft.workspace.training_spec import images_folder, read_baseline_spec
from loop_fixtures import SILENT, new_run


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


def test_a_tool_that_leaves_out_the_hard_rows_fails_the_stage(tmp_path, monkeypatch):
    """Without them the false alarm rate would be zero, the target met and the model handed over."""
    run, stub = new_run(tmp_path, monkeypatch, max_iterations=1)
    inference = stub.run

    def careless(calls, progress):
        inference(calls, progress)
        for call in calls:
            if call.action == "inference":
                path = call.writes / "inference.csv"
                table = pd.read_csv(path, dtype=str, keep_default_na=False)
                hard = (table["label"] == "PASS") & (table["siamese_score"].astype(float) > 0.1)
                table[~hard].to_csv(path, index=False)

    monkeypatch.setattr(stub, "run", careless)
    with pytest.raises(StageFailed, match=r"scored \d+ rows of \d+"):
        run_loop(run, SILENT)


@pytest.mark.parametrize("when", ["before", "while"])
def test_kpi_images_that_were_exchanged_stop_the_evaluation(tmp_path, monkeypatch, when):
    """Easier pictures of good parts would lower the false alarm rate, and the scores would be true."""
    run, stub = new_run(tmp_path, monkeypatch, max_iterations=1)
    call, seen = stub.run, []

    def exchanging(calls, progress):
        call(calls, progress)
        seen.append(calls[0].action)
        if (when, calls[0].action) in (("before", "train"), ("while", "inference")):
            row = read_table(run.workspace.kpi_table).iloc[0]
            images = images_folder(read_baseline_spec(run.workspace), "infer", run.workspace)
            image = next((images / row["input_path"]).glob(f"{row['object_name']}*"))
            image.write_bytes(image.read_bytes() + b"exchanged")

    monkeypatch.setattr(stub, "run", exchanging)
    with pytest.raises(StateConflict, match=r"images of .*testing_set\.csv"):
        run_loop(run, SILENT)
    assert seen == (["train"] if when == "before" else ["train", "inference"])
