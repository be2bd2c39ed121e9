"""The original's proven faults in figures, hand-over and gap analysis, each by its row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deft import files
from deft.errors import InputRefused, UsageError
from deft.metrics.operating_points import sweep
from deft.metrics.target import parse_target
from deft.run.handoff import handoff_records
from deft.tools.__main__ import main as run_tool
from deft.workspace.layout import RunFolder

Say = Callable[..., Any]
COLUMNS = ("input_path", "golden_path", "label", "object_name", "siamese_score")
SPEC = "dataset:\n  classify:\n    input_map: {SolderLight: 0}\n    image_ext: .jpg\n"


def scored(folder: Path, rows: list[tuple[str, str]]) -> Path:
    table = pd.DataFrame([("i", "g", label, f"C{n}", score) for n, (label, score) in enumerate(rows)])
    path = folder / "inference.csv"
    table.to_csv(path, index=False, header=COLUMNS)
    return path


def test_b11_the_original_rounded_the_threshold_so_that_a_defect_escaped(tmp_path: Path, say: Say) -> None:
    """PASS .3333336 and a defect at .3333338 were printed as .333334, which misses the defect."""
    path = scored(tmp_path, [("PASS", "0.3333336"), ("bridge", "0.3333338")])
    said = say("analyze-kpi", path, "--output-dir", tmp_path / "out")
    assert said.code == 0
    summary = (tmp_path / "out/summary.txt").read_text()
    printed = float(summary.split("threshold: ")[1].split()[0])
    kept = files.read_json(tmp_path / "out/kpi.json")["far_at_100"]["threshold"]
    for threshold in (printed, kept):
        assert 0.3333336 <= threshold < 0.3333338


@pytest.mark.parametrize("score", ["nan", "", "inf?"])
def test_b12_the_original_took_a_score_that_is_no_number(tmp_path: Path, say: Say, score: str) -> None:
    """It said that recall 100 is unavailable, and exit 0."""
    path = scored(tmp_path, [("PASS", "0.1"), ("bridge", score), ("bridge", "0.9")])
    said = say("analyze-kpi", path, "--output-dir", tmp_path / "out")
    assert said.code == 3
    assert "row 3" in said.err
    assert not (tmp_path / "out").exists()


def test_b13_the_original_counted_pass_in_any_case_as_good_and_trained_it_as_a_defect(
    tmp_path: Path, say: Say
) -> None:
    table = tmp_path / "train/base/training_set.csv"
    files.write_text(table, "input_path,golden_path,label,object_name\na,g,Pass,C\n")
    said = say("validate-csv", "--csv", table, "--workspace-root", tmp_path)
    assert (said.code, "row 2: label differs from PASS only by case" in said.err) == (3, True)


def test_b19_the_original_handed_over_a_folder_as_backbone(finished: RunFolder) -> None:
    """It looked for .ckpt and .pth only; a staged .safetensors left the folder's own path."""
    record, spec = files.read_json(finished.best_model), files.read_yaml(finished.inference_spec)
    assert Path(record["checkpoint"]).is_file()
    assert spec["inference"]["checkpoint"] == record["checkpoint"]
    backbone = spec["model"]["backbone"]
    staged = backbone.get("pretrained_backbone_path")
    assert staged is None or Path(staged).is_file()
    assert record["backbone"] == backbone["type"]


def state_of(run: RunFolder) -> dict[str, Any]:
    return files.read_json(run.state)


def test_b20_the_original_handed_over_the_baseline_s_spec_a_null_a_nan_or_a_lost_model(
    finished: RunFolder, tmp_path: Path
) -> None:
    state = state_of(finished)
    best = state["iterations"][state["incumbent"]]
    record, spec = handoff_records(state, Path)
    assert record["training_spec"] == best["training_spec"]
    assert spec["model"] == {
        **files.read_yaml(Path(best["training_spec"]))["model"],
        "classify": {"eval_margin": best["threshold"]},
    }
    others = [name for name in state["iterations"] if name != state["incumbent"]]
    for broken in (None, float("nan"), -1.0):
        for name in others:  # a figure of another phase can never make it win: the fold names the incumbent
            state["iterations"][name]["far_pct"] = broken
        assert handoff_records(state, Path)[0] == record
    best["best_ckpt_path"] = str(tmp_path / "gone.pth")
    with pytest.raises(InputRefused, match="gone"):
        handoff_records(state, Path)


def test_b21_the_original_swept_100_000_rows_in_thirteen_minutes() -> None:
    """Its time grew with rows times thresholds: 8,000 rows 5.1 s, 16,000 rows 20.4 s, these 9 hours."""
    generator = np.random.default_rng(0)
    scores, defects = generator.random(640_000), generator.random(640_000) < 0.1
    assert sweep(scores, defects).thresholds.size >= np.unique(scores).size


def analyse_gaps(folder: Path, *overrides: str) -> int:
    (folder / "train.yaml").write_text(SPEC)
    keys = [
        f"inference_results_dir={folder}",
        f"train_config={folder}/train.yaml",
        f"results_dir={folder}/out",
    ]
    return run_tool(["gap_analysis", "vcn_aoi", *keys, f"kpi_media_path={folder}", *overrides])


def test_b26_the_original_called_a_wrong_defect_on_the_threshold_marginal(tmp_path: Path) -> None:
    """Its count of misclassified rows was 0; a pinned threshold left its value nowhere."""
    scored(tmp_path, [("bridge", "0.5"), ("bridge", "0.9"), ("PASS", "0.1")])
    assert analyse_gaps(tmp_path, "threshold=0.5") == 0
    metrics = files.read_json(tmp_path / "out/metrics.json")
    assert metrics["confusion_matrix"]["fn"] == 1
    assert metrics["per_label"]["BRIDGE"]["n_misclassified"] == 1
    assert metrics["threshold"] == 0.5  # the container writes no threshold.txt then, nor do we


def test_b26_the_original_left_nothing_for_a_table_without_defects(tmp_path: Path) -> None:
    scored(tmp_path, [("PASS", "0.5"), ("PASS", "0.1")])
    assert analyse_gaps(tmp_path) == 1
    assert "NO_PASS" in (tmp_path / "out/unreachable_kpi.txt").read_text()


@pytest.mark.parametrize(
    "text", ["FAR below 0.1%", "FAR<0.1%@recall=100%", "far under 0.1 percent", "FAR ≤ 0.001"]
)
def test_h11_the_original_refused_natural_targets_or_read_a_unit_into_them(text: str) -> None:
    """`FAR below 0.1%` was rejected and `FAR<0.1%@recall=100%` became a figure in "%@recall=100%"."""
    target = parse_target(text)
    assert (target.goal.metric, target.goal.value, target.recall_floor) == ("far", 0.001, 1.0)
    with pytest.raises(UsageError, match="banana"):
        parse_target("banana")
