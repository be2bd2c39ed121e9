"""Inference alone."""

from __future__ import annotations

from pathlib import Path

from deft import files
from step_fixtures import MODEL, agreed, run_deft, use_step_platform
from tiny_workspace import make_workspace


def test_an_inference_scores_every_row(monkeypatch, capsys, tmp_path):
    use_step_platform(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    checkpoint = files.write_json(tmp_path / "model.pth", MODEL)
    words = (f"inference.checkpoint={checkpoint}", f"inference.results_dir={tmp_path / 'scores'}")
    record = agreed(capsys, workspace.root, "infer", workspace.baseline_spec, *words)
    scores = files.read_csv(Path(record["folder"]) / record["scores"], required=("siamese_score",))
    assert record["rows"] == len(scores) == len(files.read_csv(workspace.kpi_table))


def test_without_a_checkpoint_the_missing_key_is_named(monkeypatch, capsys, tmp_path):
    use_step_platform(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    code, record = run_deft(capsys, "infer", workspace.baseline_spec, f"results_dir={tmp_path}")
    assert (code, record["error"]["hint"]) == (2, "add inference.checkpoint=PATH")
