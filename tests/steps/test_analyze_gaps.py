"""Gap analysis alone: the seed's folder, ten pictures, and an honest end where no threshold helps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from deft import files
from deft.errors import InputRefused
from deft.steps.analyze_gaps import find_inference
from step_fixtures import agreed, make_experiment, run_deft, say_go, use_step_platform


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    use_step_platform(monkeypatch)
    workspace, experiment = make_experiment(tmp_path)
    return [
        "analyze-gaps",
        experiment,
        "--train-config",
        workspace.baseline_spec,
        "--media-path",
        workspace.images,
    ]


def workspace_of(words: list[object]) -> Path:
    return Path(str(words[3])).parents[1]


def test_the_results_are_those_of_the_seed_under_the_experiment(words, capsys, tmp_path):
    record = agreed(capsys, workspace_of(words), *words, "--top-k-per-label", 8)
    folder = Path(record["folder"])
    assert folder.parent == tmp_path / "experiment" / "rca_results"
    assert {path.name for path in folder.iterdir()} == {
        "vcn_aoi_spec.yaml",
        "kpi_gaps.parquet",
        "weak_components.parquet",
        "threshold.txt",
        "metrics.json",
        "weak_samples_breakdown.txt",
        "rca_images",
        "spot_check.json",
        "gap_analysis.log",
        "plan.json",
        "approval.json",
    }
    assert record["threshold"] == float((folder / "threshold.txt").read_text())
    assert files.read_yaml(folder / "vcn_aoi_spec.yaml")["top_k_per_label"] == 8


def test_the_five_weakest_of_each_side_are_drawn_beside_their_goldens(words, capsys):
    record = agreed(capsys, workspace_of(words), *words)
    folder = Path(record["folder"])
    samples = files.read_json(folder / "spot_check.json")["samples"]
    assert [sample["label"] == "PASS" for sample in samples] == [True] * 5 + [False] * 5
    assert record["pictures"] == 10
    picture = Image.open(folder / samples[0]["image"])
    assert picture.size == (264, 128)
    assert len(set(picture.crop((136, 0, 264, 128)).get_flattened_data())) > 1


def test_a_table_without_goldens_still_gets_its_pictures(words, capsys, tmp_path):
    table = tmp_path / "experiment/inference/inference.csv"
    files.write_csv(table, files.read_csv(table).drop(columns="golden_path"))
    folder = Path(agreed(capsys, workspace_of(words), *words)["folder"])
    sample = files.read_json(folder / "spot_check.json")["samples"][0]
    assert sample["golden_filepath"] == ""
    right = Image.open(folder / sample["image"]).crop((136, 0, 264, 128))
    assert set(right.get_flattened_data()) == {(255, 255, 255)}


def test_each_weak_component_is_one_row_with_its_golden_for_the_pair_encoder(words, capsys):
    folder = Path(agreed(capsys, workspace_of(words), *words)["folder"])
    weak = pd.read_parquet(folder / "weak_components.parquet")
    assert not weak["component_id"].duplicated().any()
    assert all(Path(path).is_file() for path in weak["golden_filepath"])


def test_an_unreachable_recall_leaves_its_explanation_and_ends_with_1(words, capsys, tmp_path):
    table = tmp_path / "experiment/inference/inference.csv"
    scored = files.read_csv(table)
    files.write_csv(table, scored[scored["label"] == "PASS"])
    assert run_deft(capsys, *words)[0] == 4
    say_go(workspace_of(words))
    code, record = run_deft(capsys, *words)
    (folder,) = (tmp_path / "experiment/rca_results").iterdir()
    assert code == 1
    assert (folder / "unreachable_kpi.txt").stat().st_size > 0
    assert not folder.name.endswith(".attempt")
    assert record["error"]["value"] == str(folder)
    assert "retrain or relabel" in record["error"]["hint"]


def test_images_that_are_not_there_are_refused_before_anything_is_planned(words, capsys, tmp_path):
    words[-1] = tmp_path / "elsewhere"
    code, record = run_deft(capsys, *words)
    assert code == 3
    assert record["error"]["hint"] == "check --media-path"


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "- a\n", ""])
def test_a_training_spec_that_is_no_mapping_is_refused_by_name(words, capsys, tmp_path, content):
    words[3] = files.write_text(tmp_path / "labels.csv", content)
    code, record = run_deft(capsys, *words)
    assert (code, record["error"]["value"]) == (3, str(words[3]))
    assert record["error"]["hint"].startswith("--train-config SPEC.yaml")


def test_a_label_that_is_PASS_but_for_its_case_is_refused(words, capsys, tmp_path):
    table = tmp_path / "experiment/inference/inference.csv"
    table.write_text(table.read_text().replace(",PASS,", ",Pass,", 1))
    assert run_deft(capsys, *words)[0] == 3


def test_an_inference_is_found_where_TAO_leaves_it(tmp_path):
    table = files.write_text(tmp_path / "a/inference/latest/inference.csv", "x\n")
    assert find_inference(tmp_path / "a") == table
    assert find_inference(table.parent) == table


def test_two_inferences_are_not_chosen_between(tmp_path):
    for name in ("best_val", "latest"):
        files.write_text(tmp_path / "inference" / name / "inference.csv", "x\n")
    with pytest.raises(InputRefused, match="best_val, latest"):
        find_inference(tmp_path)


def test_an_experiment_without_scores_is_refused(tmp_path):
    with pytest.raises(InputRefused, match=r"no inference\.csv"):
        find_inference(tmp_path)


def test_a_table_without_rows_is_refused(words, capsys, tmp_path):
    table = tmp_path / "experiment/inference/inference.csv"
    table.write_text(table.read_text().splitlines()[0] + "\n")
    assert run_deft(capsys, *words)[0] == 3
