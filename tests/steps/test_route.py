"""Routing alone: a partition of the gaps, by the pool's labels or all to mining."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from deft import files
from deft.run.gate import pending_for
from deft.workspace.layout import Workspace
from step_fixtures import agreed, run_deft
from tiny_workspace import make_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "workspace")


def write_gaps(path: Path) -> Path:
    labels = ["PASS", "bridge", "scratch", "scratch"]
    rows = {"filepath": list("abcd"), "label": labels, "siamese_score": 0.5, "weakness": [4.0, 3.0, 2.0, 1.0]}
    return files.write_parquet(path, pd.DataFrame(rows))


def words(workspace: Workspace, output: Path, *more: str) -> list[object]:
    gaps = write_gaps(output / "kpi_gaps.parquet")
    return ["route", gaps, "--pool", workspace.mining_pool_table, *more, "--output", output]


def test_with_pre_generated_pairs_every_weak_sample_goes_to_mining(workspace, capsys, tmp_path):
    record = agreed(capsys, workspace.root, *words(workspace, tmp_path / "out"))
    assert (record["weak"], record["to_mining"], record["to_generation"]) == (4, 4, 0)
    assert Path(record["folder"]).parent == tmp_path / "out" / "routing_results"


def test_by_label_only_what_the_pool_holds_goes_to_mining_and_nothing_is_lost(workspace, capsys, tmp_path):
    record = agreed(capsys, workspace.root, *words(workspace, tmp_path / "out", "--by-label"))
    folder = Path(record["folder"])
    parts = [pd.read_parquet(folder / f"{name}_gaps.parquet") for name in ("mining", "anomalygen")]
    assert [sorted(part["label"]) for part in parts] == [["PASS", "bridge"], ["scratch", "scratch"]]
    assert "scratch: 2, 0, 2" in (folder / "routing_summary.txt").read_text()


def test_labels_that_the_pool_lacks_are_named_in_the_plan(workspace, capsys, tmp_path):
    run_deft(capsys, *words(workspace, tmp_path / "out"))
    assert pending_for(workspace)["advice"] == ["the real pool holds no example of scratch"]


def test_a_table_that_is_no_gap_analysis_is_refused(workspace, capsys, tmp_path):
    call = words(workspace, tmp_path / "out")
    files.write_parquet(Path(str(call[1])), pd.DataFrame({"filepath": ["a"]}))
    assert run_deft(capsys, *call)[0] == 3
