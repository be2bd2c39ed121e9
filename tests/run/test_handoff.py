"""What is handed over is the incumbent, and its spec has nothing left to guess."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from deft import files
from deft.errors import InputRefused, StateConflict
from deft.loop import run_loop
from deft.run.evaluation import read_scores
from deft.run.handoff import operating_record, write_handoff
from deft.schemas import validate
from loop_fixtures import SILENT, new_run


@pytest.fixture
def finished(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    return run


def test_the_record_is_the_incumbents_in_full_precision(finished):
    record, state = files.read_json(finished.best_model), files.read_json(finished.state)
    best = state["iterations"][state["incumbent"]]
    validate(record, "handoff")
    assert record["threshold"] == best["threshold"]
    assert record["checkpoint_sha256"] == files.sha256_of_file(files.Path(best["best_ckpt_path"]))


def test_the_spec_is_that_of_the_winners_training_with_the_threshold_as_margin(finished):
    spec, record = files.read_yaml(finished.inference_spec), files.read_json(finished.best_model)
    classify = spec["dataset"]["classify"]
    assert "train_dataset" not in classify
    assert spec["model"]["classify"]["eval_margin"] == record["threshold"]
    assert spec["inference"]["checkpoint"] == record["checkpoint"]
    assert classify["infer_dataset"] == {"csv_path": "", "images_dir": ""}
    assert classify["augmentation_config"]["augment"] is False


def test_a_run_without_an_evaluated_model_has_nothing_to_hand_over(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path / "other", monkeypatch)
    with pytest.raises(StateConflict, match="no evaluated model"):
        write_handoff(run, files.read_json(run.state), tmp_path)


def test_a_checkpoint_that_is_gone_is_not_handed_over(finished, tmp_path):
    state = files.read_json(finished.state)
    files.Path(state["iterations"][state["incumbent"]]["best_ckpt_path"]).unlink()
    with pytest.raises(InputRefused, match="gone"):
        write_handoff(finished, state, tmp_path)


def lowered(run, score):
    """Let the first defect of the incumbent's scores look as good as its best part."""
    state = files.read_json(run.state)
    path = Path(state["iterations"][state["incumbent"]]["inference_csv"])
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[table.index[table["label"] != "PASS"][0], "siamese_score"] = score
    table.to_csv(path, index=False)
    return state, path


def test_a_target_at_another_recall_is_handed_over_with_the_threshold_that_meets_it(finished, tmp_path):
    state, path = lowered(finished, "-1.0")
    best = state["iterations"][state["incumbent"]]
    record = operating_record(best, "FAR < 1% at recall = 90%", path)
    table = read_scores(path)
    flagged = table["siamese_score"] > record["threshold"]
    is_pass = table["label"] == "PASS"
    assert 100 * flagged[~is_pass].mean() == pytest.approx(record["recall_pct"])
    assert record["recall_pct"] >= 90
    assert 100 * flagged[is_pass].mean() == pytest.approx(record["far_pct"])
    assert record["at_full_recall"] == {"threshold": best["threshold"], "far_pct": best["far_pct"]}
    state["kpi_target"] = "FAR < 1% at recall = 90%"
    written = write_handoff(finished, state, tmp_path)
    validate(written, "handoff")
    assert written["threshold"] == record["threshold"]
    spec = files.read_yaml(tmp_path / finished.inference_spec.name)
    assert spec["model"]["classify"]["eval_margin"] == record["threshold"]


@pytest.mark.parametrize("target", ["FAR < 1% at recall = 100%", "FAR < 1%", "whatever was logged", ""])
def test_any_other_target_works_where_no_defect_is_missed(finished, target):
    state = files.read_json(finished.state)
    best = state["iterations"][state["incumbent"]]
    record = operating_record(best, target, Path(best["inference_csv"]))
    assert record == {"threshold": best["threshold"], "far_pct": best["far_pct"]}
