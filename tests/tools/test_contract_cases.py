"""What the contract says of the commands beyond the recorded cases, one sentence a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from conformance import difference
from deft.tools.__main__ import main

Run = Callable[..., tuple[int, str]]
INFERENCE = """input_path,object_name,label,siamese_score
a,001,PASS,0.1
/abs/b,C2, pass ,0.4
b/../c,C3,bridge,0.4
d,C4,,0.9
d,C5,nan,0.95
e//f/.,C6,Bridge,0.35
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in a folder with an inference table, three training specs and two embedding tables."""
    monkeypatch.chdir(tmp_path)
    Path("inf").mkdir()
    Path("inf/inference.csv").write_text(INFERENCE)
    for name, naming in (
        ("mapping", "input_map: {A: 3, B: 0}, image_ext: null"),
        ("list", "input_map: [X, Y], image_ext: .jpg"),
        ("empty", "input_map: {}, image_ext: .jpg"),
        ("null", "input_map: null, image_ext: .jpg"),
    ):
        Path(f"{name}.yaml").write_text(f"dataset: {{classify: {{{naming}}}}}\n")
    draw = np.random.default_rng(0)
    labels = ["PASS", " pass", "Bridge", None, "bridge", "NONE"]
    for name, rows in (("source", labels), ("target", ["Pass", None])):
        vectors = list(draw.normal(size=(len(rows), 3)))
        table = {"filepath": [f"{name[0]}{i}" for i in range(len(rows))], "embedding": vectors, "label": rows}
        pd.DataFrame(table).to_parquet(f"{name}.parquet")

    def called(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(words)
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return called


def gap(run: Run, *words: str) -> tuple[int, str]:
    return run("gap_analysis", "vcn_aoi", "inference_results_dir=inf", *words)


def knn(run: Run, *words: str) -> tuple[int, str]:
    given = ("source_parquet=source.parquet", "target_parquet=target.parquet", "output_parquet=k/m.parquet")
    return run("tmm", "nearest_neighbors", *given, *words)


def gaps(folder: str) -> pd.DataFrame:
    return pd.read_parquet(Path(folder, "kpi_gaps.parquet"))


# --- gap_analysis vcn_aoi --------------------------------------------------------------------


def test_paths_follow_pathlib_and_a_null_extension_is_written_out(run: Run) -> None:
    assert gap(run, "train_config=mapping.yaml", "results_dir=o", "kpi_media_path=/m/")[0] == 0
    assert gaps("o")["filepath"].tolist() == [
        "/abs/b/C2_ANone",
        "/abs/b/C2_BNone",
        "/m/a/001_ANone",
        "/m/a/001_BNone",
        "/m/e/f/C6_ANone",
        "/m/e/f/C6_BNone",
        "/m/b/../c/C3_ANone",
        "/m/b/../c/C3_BNone",
    ]
    assert gaps("o")["label"].unique().tolist() == ["pass", "PASS", "Bridge", "bridge"]
    assert Path("o/threshold.txt").read_text() == "0.1"


def test_labels_that_are_missing_count_as_defects_and_are_not_ranked(run: Run) -> None:
    _, shown = gap(run, "train_config=list.yaml", "results_dir=o")
    assert "2 rows have no label" in shown
    assert "Total KPI samples: 6" in shown
    assert "Total weak samples kept: 4" in shown


def test_a_threshold_of_0_pins_and_writes_no_threshold(run: Run) -> None:
    code, shown = gap(run, "train_config=list.yaml", "results_dir=o", "threshold=0", "top_k_per_label=0")
    assert code == 0
    assert "(threshold=0.0, top_k_per_label=0)" in shown
    assert not Path("o/threshold.txt").exists()
    assert len(gaps("o")) == 0


def test_a_negative_top_k_drops_as_many_of_the_weakest_of_each_label(run: Run) -> None:
    assert gap(run, "train_config=list.yaml", "results_dir=o", "threshold=0.4", "top_k_per_label=-1")[0] == 0
    assert gaps("o")["filepath"].tolist()[::2] == ["e/f/C6_X.jpg", "/abs/b/C2_X.jpg"]


def test_an_empty_light_map_gives_the_four_columns_without_rows_or_types(run: Run) -> None:
    assert gap(run, "train_config=empty.yaml", "results_dir=o")[0] == 0
    table = pq.read_table("o/kpi_gaps.parquet")
    assert table.column_names == ["filepath", "label", "siamese_score", "weakness"]
    assert {str(kind) for kind in table.schema.types} == {"null"}
    assert "kept: 4" in Path("o/weak_samples_breakdown.txt").read_text()


@pytest.mark.parametrize("words", [("train_config=null.yaml",), ()])
def test_what_fails_after_the_sweep_leaves_the_threshold(run: Run, words: tuple[str, ...]) -> None:
    code, shown = gap(run, "results_dir=o", *words)
    assert code == 1
    assert shown.rstrip().endswith("Execution status: FAIL")
    assert [path.name for path in Path("o").iterdir()] == ["threshold.txt"]


def test_a_recall_above_1_is_not_refused_by_the_schema_but_reached_by_nothing(run: Run) -> None:
    code, shown = gap(run, "train_config=list.yaml", "results_dir=o", "min_recall=1.5")
    assert code == 1
    assert "No threshold achieves 150% recall on the NO_PASS class." in shown


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("top_k_per_label=2.5", "Error merging override top_k_per_label=2.5"),
        ("top_k_per_label=abc", "Error merging override top_k_per_label=abc"),
        ("min_recall=true", "Error merging override min_recall=true"),
        ("output_dir=x", "Could not override 'output_dir'"),
        ("+threshold=1", "Could not append to config"),
    ],
)
def test_an_override_that_does_not_fit_ends_before_anything_is_written(
    run: Run, word: str, said: str
) -> None:
    code, shown = gap(run, "train_config=list.yaml", "results_dir=o", word)
    assert code == 1
    assert said in shown
    assert not Path("o").exists()


@pytest.mark.parametrize("flag", [["--cfg=job"], ["--cfg", "job"]])
def test_cfg_job_shows_the_merged_keys_in_the_order_of_the_schema_and_runs_nothing(
    run: Run, flag: list[str]
) -> None:
    code, shown = run("gap_analysis", "vcn_aoi", *flag, "threshold=1", "kpi_media_path=true")
    assert code == 0
    assert shown.splitlines()[:-1] == [
        "inference_results_dir: ???",
        "train_config: ???",
        "kpi_media_path: 'True'",
        "threshold: 1.0",
        "min_recall: 1.0",
        "top_k_per_label: 50",
        "results_dir: ???",
    ]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("bogus: 1", "Error merging 'spec.yaml' with schema\nKey 'bogus' not in 'GapAnalysisConfig'"),
        ("threshold: abc", "Error merging 'spec.yaml' with schema"),
    ],
)
def test_a_spec_that_does_not_fit_names_itself(run: Run, spec: str, said: str) -> None:
    Path("spec.yaml").write_text(spec)
    code, shown = run("gap_analysis", "vcn_aoi", "-e", "spec.yaml")
    assert (code, said in shown) == (1, True)


def test_a_spec_may_refer_to_itself_and_the_command_line_wins(run: Run) -> None:
    Path("spec.yaml").write_text(
        "results_dir: wrong\ninference_results_dir: inf\ntrain_config: ${results_dir}/../list.yaml\n"
    )
    Path("right").mkdir()
    assert run("gap_analysis", "vcn_aoi", "-e", "spec.yaml", "results_dir=right")[0] == 0
    assert Path("right/kpi_gaps.parquet").is_file()
    assert not Path("wrong").exists()


@pytest.mark.parametrize("words", [("gap_analysis", "nope"), ("nope", "vcn_aoi"), ()])
def test_words_that_name_no_command_show_the_usage_and_end_with_2(run: Run, words: tuple[str, ...]) -> None:
    code, shown = run(*words)
    assert (code, shown.startswith("usage:")) == (2, True)


# --- tmm -------------------------------------------------------------------------------------


def test_labels_are_compared_without_case_and_a_missing_one_is_the_text_none(run: Run) -> None:
    assert knn(run, "filter_by_label=Yes", "topn=6")[0] == 0
    assert set(pd.read_parquet("k/m.parquet")["filepath"]) == {"s0", "s1", "s3", "s5"}
    assert "kept 4/12 pairs, dropped 8 mismatches" in Path("k/mining_summary.txt").read_text()


def test_on_is_not_a_word_for_true(run: Run) -> None:
    assert "label mismatch" not in knn(run, "filter_by_label=on")[1]


def test_nothing_is_filled_up_after_the_filters(run: Run) -> None:
    _, shown = knn(run, "filter_by_label=true", "distance_threshold=0")
    assert "After label mismatch filtering: kept 4/10 pairs" in shown
    assert "After distance filtering: kept 0/4 pairs, dropped 4 exceeding threshold 0.0000" in shown
    assert pq.read_table("k/m.parquet").num_rows == 0


@pytest.mark.parametrize("topn", [0, -2])
def test_a_topn_below_1_is_an_error(run: Run, topn: int) -> None:
    assert knn(run, f"topn={topn}")[0] == 1


@pytest.mark.parametrize("threshold", ["-0.5", "3"])
def test_thresholds_that_filter_nothing_warn_and_go_on(run: Run, threshold: str) -> None:
    code, shown = knn(run, "knn_metric=cosine", f"distance_threshold={threshold}")
    assert (code, "WARNING The given distance threshold" in shown) == (0, True)


def test_a_similarity_is_no_key_of_the_search(run: Run) -> None:
    assert "Could not override 'min_similarity'" in knn(run, "min_similarity=0.9")[1]


def test_metrics_have_their_other_names_and_an_unknown_one_is_refused(run: Run) -> None:
    assert difference("three-metrics")
    found: dict[str, Any] = {}
    for name in ("euclidean", "l2", "manhattan", "l1", "cityblock", "taxicab"):
        assert knn(run, f"knn_metric={name}")[0] == 0
        found[name] = pd.read_parquet("k/m.parquet")["filepath"].tolist()
    assert found["euclidean"] == found["l2"]
    assert found["manhattan"] == found["l1"] == found["cityblock"] == found["taxicab"]
    given = ("source_path=source.parquet", "target_path=target.parquet", "desired_unique_count=1")
    for name in ("l2", "l1"):
        assert (
            run("tmm", "unique_neighbor_matching", *given, "output_dir=u", f"distance_metric={name}")[0] == 0
        )
    code, shown = knn(run, "knn_metric=chebyshev")
    assert (code, "cosine, euclidean, manhattan" in shown) == (1, True)


def test_a_wanted_count_of_0_is_an_error_and_an_absent_one_names_itself(run: Run) -> None:
    given = ("source_path=source.parquet", "target_path=target.parquet", "output_dir=u")
    assert run("tmm", "unique_neighbor_matching", *given, "desired_unique_count=0")[0] == 1
    code, shown = run("tmm", "unique_neighbor_matching", *given)
    assert (code, "desired_unique_count" in shown) == (1, True)


# --- embedding -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("model=Siglip", "model_path=x"), "Embedding model is not valid"),
        (("model=SigLIP2", "model_path=x"), "Embedding model is not valid"),
        (("model=SigLIP", "model_path=x.PTH"), "model_config_path is required"),
        (("model=SigLIP", "model_path=x.ckpt", "model_config_path=y"), "does not exist"),
        (("model=SigLIP", "model_path=x", "batch_size=0"), "batch_size"),
    ],
)
def test_an_encoder_that_cannot_be_is_refused_and_nothing_is_written(
    run: Run, words: tuple[str, ...], said: str
) -> None:
    given = ("input_parquet=source.parquet", "output_parquet=e.parquet")
    code, shown = run("embedding", "image_embeddings", *given, *words)
    assert (code, said in shown) == (1, True)
    assert not Path("e.parquet").exists()
