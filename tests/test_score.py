"""The production end: verdicts at the handed-over threshold, and drift."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deft import files
from deft.errors import Corruption, InputRefused, StageFailed
from deft.loop import run_loop
from deft.schemas import schema
from deft.score import Model, drift, score_folders, score_table
from loop_fixtures import SILENT, new_run
from stub_platform import StubPlatform

KNOWN = {"threshold": 0.5, "pass_score_quantiles": list(np.linspace(0, 0.4, 101))}


@pytest.fixture
def finished(tmp_path, monkeypatch):
    run, stub = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    monkeypatch.setattr("deft.score.platform_named", lambda name, settings=None: stub)
    return run


def score(run, model, output):
    workspace = run.workspace
    return score_table(
        workspace.kpi_table, workspace.images, model, output, platform="embedded", progress=SILENT
    )


def test_the_handed_over_model_gives_the_kpi_sets_own_verdicts_again(finished, tmp_path):
    model = Model.read(finished.best_model)
    record = score(finished, model, tmp_path / "scores.csv")
    table = files.read_csv(tmp_path / "scores.csv")
    is_rejected = pd.to_numeric(table["siamese_score"]) > model.record["threshold"]
    assert (is_rejected == (table["verdict"] == "NO_PASS")).all()
    assert (table.loc[table["label"] != "PASS", "verdict"] == "NO_PASS").all()
    assert record["rejected"] == int(is_rejected.sum())
    assert record["drift"]["warning"] == ""
    assert record["notes"] == []


def test_a_folder_of_images_is_paired_with_its_goldens_by_stem(finished, tmp_path):
    workspace, model = finished.workspace, Model.read(finished.best_model)
    record = score_folders(
        workspace.reconstructed_images,
        workspace.original_images,
        model,
        tmp_path / "scores.csv",
        platform="embedded",
        progress=SILENT,
    )
    assert record["rows"] == 6
    assert len(files.read_csv(tmp_path / "scores.csv", required=("verdict",))) == 6


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda table: table.iloc[:-1], "rows of"),
        (lambda table: table.assign(siamese_score=""), "no number in row 2"),
        (lambda table: table.iloc[::-1], "another"),
    ],
)
def test_a_part_without_a_score_of_its_own_is_never_passed_as_good(
    finished, tmp_path, monkeypatch, change, fault
):
    class Careless(StubPlatform):
        def run(self, calls, progress):
            super().run(calls, progress)
            path = calls[-1].writes / "inference.csv"
            change(files.read_csv(path)).to_csv(path, index=False)

    monkeypatch.setattr("deft.score.platform_named", lambda name, settings=None: Careless())
    with pytest.raises(StageFailed, match=fault):
        score(finished, Model.read(finished.best_model), tmp_path / "scores.csv")
    assert not (tmp_path / "scores.csv").exists()


def test_a_checkpoint_that_is_another_is_corruption(finished):
    checkpoint = files.read_json(finished.best_model)["checkpoint"]
    with open(checkpoint, "ab") as stream:
        stream.write(b" ")
    with pytest.raises(Corruption, match="not the one that was handed over") as caught:
        Model.read(finished.best_model)
    assert "deft audit RUN" in caught.value.hint


def test_a_checkpoint_that_is_gone_is_refused_by_name(finished):
    record = files.read_json(finished.best_model)
    files.write_json(finished.best_model, {**record, "checkpoint": "/gone.pth"})
    with pytest.raises(InputRefused, match=r"/gone\.pth") as caught:
        Model.read(finished.best_model)
    assert str(finished.best_model) in caught.value.hint


def test_a_moved_checkpoint_is_used_where_the_record_says_that_it_is_now(finished, tmp_path, monkeypatch):
    record = files.read_json(finished.best_model)
    moved = Path(shutil.move(record["checkpoint"], tmp_path / "moved.pth"))
    files.write_json(finished.best_model, {**record, "checkpoint": str(moved)})
    stub = StubPlatform()
    monkeypatch.setattr("deft.score.platform_named", lambda name, settings=None: stub)
    score(finished, Model.read(finished.best_model), tmp_path / "scores.csv")
    assert stub.calls[-1].overrides["inference.checkpoint"] == str(moved)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "record lacks checkpoint, threshold, far_pct"),
        ("[]", "not a mapping of keys"),
        ("a,b\n1,2\n", "file is not JSON"),
    ],
)
def test_a_file_that_is_no_hand_over_is_refused_with_what_is_missing(tmp_path, content, said):
    path = files.write_text(tmp_path / "best_model.json", content)
    with pytest.raises(InputRefused, match=f"not a handed-over model: .*{said}") as caught:
        Model.read(path)
    assert caught.value.value == path
    assert "deft prepare-inference-spec" in caught.value.hint


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), "0.5", None])
def test_a_threshold_at_which_no_part_can_be_judged_is_refused(finished, threshold):
    record = files.read_json(finished.best_model)
    finished.best_model.write_text(json.dumps({**record, "threshold": threshold}))
    with pytest.raises(InputRefused, match="threshold"):
        Model.read(finished.best_model)


def test_what_a_hand_over_of_the_original_lacks_is_not_checked_and_that_is_said(finished, tmp_path):
    record = files.read_json(finished.best_model)
    kept = {name: record[name] for name in schema("handoff")["required"]}
    files.write_json(finished.best_model, kept)
    found = score(finished, Model.read(finished.best_model), tmp_path / "scores.csv")
    assert found["notes"] == [
        "best_model.json lacks checkpoint_sha256: the checkpoint was not verified",
        "best_model.json lacks pass_score_quantiles: drift cannot be noticed",
    ]
    assert found["drift"]["distance"] is None


def test_an_inference_spec_that_is_no_mapping_is_refused_by_name(finished):
    finished.inference_spec.write_text("a,b\n")
    with pytest.raises(InputRefused, match="not a mapping of keys") as caught:
        Model.read(finished.best_model)
    assert caught.value.value == finished.inference_spec


def test_scores_as_on_the_kpi_set_are_no_drift_whatever_the_share_of_defects():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.uniform(0, 0.4, 300), np.full(200, 0.9)])
    assert drift(scores, KNOWN)["warning"] == ""


def test_accepted_scores_that_moved_are_drift():
    scores = np.random.default_rng(0).uniform(0.2, 0.5, 300)
    record = drift(scores, KNOWN)
    assert record["distance"] > 0.4
    assert "drifted" in record["warning"]


def test_a_handful_of_rows_proves_no_drift():
    assert drift(np.full(10, 0.45), KNOWN) == {"distance": None, "warning": "", "rows": 10}
