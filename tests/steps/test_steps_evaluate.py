"""Evaluation alone: the rates of the tool, and every figure from the scores."""

from __future__ import annotations

from pathlib import Path

from deft import files
from step_fixtures import MODEL, agreed, use_step_platform
from tiny_workspace import make_workspace


def test_an_evaluation_leaves_the_figures_of_the_test_table(monkeypatch, capsys, tmp_path):
    stub = use_step_platform(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    checkpoint = files.write_json(tmp_path / "model.pth", MODEL)
    words = (f"evaluate.checkpoint={checkpoint}", f"results_dir={tmp_path}")
    record = agreed(capsys, workspace.root, "evaluate", workspace.baseline_spec, *words)
    folder = Path(record["folder"])
    assert [call.name for call in stub.calls] == ["visual_changenet evaluate", "visual_changenet inference"]
    kpi = files.read_json(folder / "kpi.json")
    assert record["far_at_100"] == kpi["far_at_100"]["far"]
    assert record["rows"] == len(files.read_csv(workspace.kpi_table))
    assert (folder / "inference/inference.csv").is_file()
    assert (folder / "summary.txt").is_file()
