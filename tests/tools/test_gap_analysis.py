"""`gap_analysis vcn_aoi` beyond the recorded cases: its records, and its use from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from conformance import difference
from deft.tools.__main__ import main
from deft.tools.gap_analysis import GapAnalysis, analyse, read_image_naming

SPEC = "dataset:\n  classify:\n    input_map: {SolderLight: 0, UV: 1}\n    image_ext: .jpg\n"
TABLE = pd.DataFrame(
    {
        "input_path": ["b1", "b2", "b3", "b4", "b5"],
        "golden_path": ["g"] * 5,
        "object_name": ["R1", "R2", "R3", "R4", "R5"],
        "label": ["PASS", "PASS", "bridge", "bridge", "shift"],
        "siamese_score": [0.1, 0.6, 0.5, 0.9, 0.30000000000000004],
    }
)


def analysed(**changes: Any) -> GapAnalysis:
    keys: dict[str, Any] = {
        "threshold": -1.0,
        "min_recall": 1.0,
        "top_k_per_label": 1,
        "lights": ["SolderLight", "UV"],
        "extension": ".jpg",
        "media_path": "/kpi",
    }
    return analyse(changes.pop("table", TABLE), **(keys | changes))


def run(folder: Path, *overrides: str, table: pd.DataFrame = TABLE) -> tuple[int, Path]:
    table.to_csv(folder / "inference.csv", index=False)
    (folder / "train.yaml").write_text(SPEC)
    keys = [f"inference_results_dir={folder}", f"train_config={folder}/train.yaml"]
    code = main(["gap_analysis", "vcn_aoi", *keys, f"results_dir={folder}/out", *overrides])
    return code, folder / "out"


def test_the_rows_before_expansion_name_image_and_golden() -> None:
    weak = analysed().weak
    assert weak["object_name"].tolist() == ["R2", "R5", "R3"]
    assert weak["golden_path"].tolist() == ["g"] * 3
    assert weak.index.tolist() == [1, 4, 2]
    assert len(analysed().gaps) == 6


def test_the_breakdown_names_misclassified_and_marginal_rows() -> None:
    assert analysed(top_k_per_label=2).breakdown() == (
        "Weak samples breakdown by label (threshold=0.1, top_k_per_label=2)\n"
        "Total KPI samples: 5\n"
        "Total weak samples kept: 5\n"
        "\n"
        "  PASS: 2 (40.0%) — 1 misclassified, 1 marginal\n"
        "  SHIFT: 1 (20.0%) — 0 misclassified, 1 marginal\n"
        "  BRIDGE: 2 (40.0%) — 0 misclassified, 2 marginal\n"
    )


def test_the_metrics_count_every_row_of_the_table(tmp_path: Path) -> None:
    assert difference("metrics-json-written")
    code, out = run(tmp_path, "threshold=0.5")
    metrics = json.loads((out / "metrics.json").read_text())
    assert code == 0
    assert list(metrics) == ["precision", "recall", "f1", "confusion_matrix", "per_label", "threshold"]
    assert metrics["confusion_matrix"] == {"tp": 1, "fp": 1, "tn": 1, "fn": 2}
    assert metrics["precision"] == 0.5
    assert metrics["recall"] == pytest.approx(1 / 3)
    assert metrics["f1"] == pytest.approx(0.4)
    assert metrics["per_label"]["BRIDGE"] == {
        "total": 2,
        "mean_weakness": pytest.approx(-0.2),
        "median_weakness": pytest.approx(-0.2),
        "max_weakness": pytest.approx(0.0),
        "n_misclassified": 1,
    }
    wrong = sum(label["n_misclassified"] for label in metrics["per_label"].values())
    assert wrong == metrics["confusion_matrix"]["fp"] + metrics["confusion_matrix"]["fn"]


def test_the_metrics_hold_the_threshold_with_every_digit(tmp_path: Path) -> None:
    assert difference("full-precision-thresholds")
    table = TABLE.assign(siamese_score=[0.30000000000000004, 0.2, 0.5, 0.6, 0.7])
    _, out = run(tmp_path, table=table)
    assert (out / "threshold.txt").read_text() == "0.30000000000000004"
    assert json.loads((out / "metrics.json").read_text())["threshold"] == 0.30000000000000004


def test_a_figure_without_a_value_is_null(tmp_path: Path) -> None:
    _, out = run(tmp_path, "threshold=0.5", table=TABLE.assign(siamese_score=[0.1, 0.6, 0.5, 0.9, None]))
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["per_label"]["SHIFT"]["mean_weakness"] is None
    assert metrics["per_label"]["SHIFT"]["n_misclassified"] == 1


def test_an_unreachable_recall_leaves_its_explanation_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert difference("unreachable-kpi-written")
    code, out = run(tmp_path, table=TABLE.assign(siamese_score=[0.1, 0.6, 0.5, None, 0.9]))
    assert code == 1
    assert [path.name for path in out.iterdir()] == ["unreachable_kpi.txt"]
    assert "The highest recall that this model reaches" in (out / "unreachable_kpi.txt").read_text()
    printed = capsys.readouterr().out
    assert "WARNING 1 rows have no score" in printed
    assert "No threshold achieves 100% recall on the NO_PASS class." in printed
    assert "Traceback" not in printed


def test_the_log_holds_the_lines_that_hooks_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out = run(tmp_path)
    printed = capsys.readouterr().out
    assert "Optimal threshold: 0.1 (F1=0.8571, Precision=0.7500)\n" in printed
    assert f"Threshold written to {out}/threshold.txt\n" in printed
    assert "Selected 5 weak samples (10 per-lighting filepaths) from 5 total (threshold=0.1," in printed
    assert f"Breakdown saved to {out}/weak_samples_breakdown.txt\n" in printed


def test_rows_without_a_label_are_counted_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, table=TABLE.assign(label=["PASS", "PASS", "bridge", "bridge", None]))
    assert "WARNING 1 rows have no label" in capsys.readouterr().out


def test_a_missing_table_is_refused_with_the_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["gap_analysis", "vcn_aoi", f"inference_results_dir={tmp_path}", "results_dir=out"])
    assert code == 1
    assert f"No such file or directory: {tmp_path}/inference.csv\nhint: run inference first" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("dataset: {}\n", "lacks dataset.classify.input_map"),
        ("dataset: {classify: {input_map: {a: 0}}}\n", "lacks dataset.classify.image_ext"),
        ("- a\n", "lacks dataset.classify.input_map"),
        ("dataset: {classify: {input_map: a, image_ext: .jpg}}\n", "no list of lights"),
    ],
)
def test_a_training_spec_without_lights_is_refused(
    tmp_path: Path, text: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    TABLE.to_csv(tmp_path / "inference.csv", index=False)
    (tmp_path / "train.yaml").write_text(text)
    keys = [f"inference_results_dir={tmp_path}", f"train_config={tmp_path}/train.yaml"]
    assert main(["gap_analysis", "vcn_aoi", *keys, f"results_dir={tmp_path}/out"]) == 1
    assert reason in capsys.readouterr().out
    assert not (tmp_path / "out" / "kpi_gaps.parquet").exists()


def test_lights_are_read_in_the_order_written(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text(SPEC)
    assert read_image_naming(tmp_path / "train.yaml") == (["SolderLight", "UV"], ".jpg")
