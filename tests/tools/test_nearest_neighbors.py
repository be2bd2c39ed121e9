"""`tmm nearest_neighbors` beyond the recorded cases: ties, small pools, labels, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conformance import difference
from deft.tools.__main__ import main

Vectors = list[list[float]]


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out"


def write(name: str, vectors: Any, **columns: Any) -> None:
    paths = [f"/{name}/{i}.jpg" for i in range(len(vectors))]
    pd.DataFrame({"filepath": paths, "embedding": vectors, **columns}).to_parquet(f"{name}.parquet")


def mine(*overrides: str) -> int:
    keys = [
        "source_parquet=source.parquet",
        "target_parquet=target.parquet",
        "output_parquet=out/mined.parquet",
    ]
    return main(["tmm", "nearest_neighbors", *keys, *overrides])


def mined(out: Path) -> list[str]:
    return pd.read_parquet(out / "mined.parquet")["filepath"].tolist()


def test_equal_distances_are_taken_in_the_order_of_their_paths(out: Path) -> None:
    assert difference("ordered-ties")
    write("source", [[1.0, 0.0]] * 4, filepath=["/d", "/b", "/c", "/a"])
    write("target", [[0.0, 0.0]])
    assert mine("topn=2") == 0
    assert mined(out) == ["/a", "/b"]


def test_a_pool_smaller_than_topn_is_taken_whole_and_this_is_said(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert difference("topn-uses-pool")
    write("source", [[1.0], [2.0]])
    write("target", [[0.0], [3.0]])
    assert mine("topn=7") == 0
    assert mined(out) == ["/source/0.jpg", "/source/1.jpg"]
    summary = (out / "mining_summary.txt").read_text()
    assert "  Similar items per query: 2 (7 asked for; the pool holds 2)\n  Total pairs: 4\n" in summary
    assert summary in capsys.readouterr().out


@pytest.mark.parametrize(("alias", "metric"), [("l2", "euclidean"), ("l1", "manhattan")])
def test_a_metric_has_the_other_names_of_the_container(out: Path, alias: str, metric: str) -> None:
    draw = np.random.default_rng(5)
    write("source", draw.normal(size=(30, 3)).tolist())
    write("target", draw.normal(size=(3, 3)).tolist())
    mine(f"knn_metric={alias}")
    named_otherwise = mined(out)
    mine(f"knn_metric={metric}")
    assert mined(out) == named_otherwise


def test_an_unknown_metric_is_refused_with_the_known_ones(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("source", [[1.0]])
    write("target", [[1.0]])
    assert mine("knn_metric=angular") == 1
    assert "choose one of cosine, euclidean, manhattan" in capsys.readouterr().out
    assert not (out / "mined.parquet").exists()


def test_missing_labels_agree_with_each_other_only(out: Path) -> None:
    write("source", [[0.0], [1.0], [2.0]], label=["bridge", None, "None"])
    write("target", [[0.0]], label=[None])
    mine("topn=3", "filter_by_label=TRUE")
    assert mined(out) == ["/source/1.jpg", "/source/2.jpg"]
    assert "kept 2/3 pairs, dropped 1 mismatches" in (out / "mining_summary.txt").read_text()


def test_whole_numbers_beside_a_missing_label_are_the_text_that_pandas_makes_of_them(out: Path) -> None:
    write("source", [[0.0], [1.0], [2.0]], label=pd.array([1, None, 2], dtype="Int64"))
    write("target", [[0.0]], label=["1.0"])
    mine("topn=3", "filter_by_label=TRUE")
    assert mined(out) == ["/source/0.jpg"]
    write("source", [[0.0], [1.0], [2.0]], label=[1, 3, 2])
    write("target", [[0.0]], label=["1"])
    mine("topn=3", "filter_by_label=TRUE")
    assert mined(out) == ["/source/0.jpg"]


@pytest.mark.parametrize(
    ("overrides", "warning"),
    [
        (["knn_metric=cosine", "distance_threshold=2.5"], "threshold of 2.5000 exceeds the largest cosine"),
        (["distance_threshold=-3"], "threshold of -3.0000 is negative"),
    ],
)
def test_a_threshold_that_filters_nothing_is_a_warning(
    out: Path, overrides: list[str], warning: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write("source", [[1.0]])
    write("target", [[1.0]])
    assert mine(*overrides) == 0
    assert f"WARNING The given distance {warning}" in capsys.readouterr().out


def test_a_threshold_that_is_switched_off_is_no_warning(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("source", [[1.0]])
    write("target", [[1.0]])
    mine("distance_threshold=-1")
    assert "WARNING" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("vectors", "reason"),
    [
        ([[1.0, 2.0], [1.0]], "vectors differ in length"),
        ([[1.0, 2.0, 3.0], [1.0], [2.0, 2.0]], "vectors differ in length"),
        ([[1.0, 2.0], [np.nan, 1.0]], "row 2"),
        ([[1.0, 2.0], None], "1 rows have no vector"),
        (["a", "b"], "not a list of numbers"),
        ([], "table has no vectors"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(
    out: Path, vectors: Any, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert difference("unequal-vectors-refused")
    write("source", vectors)
    write("target", [[1.0, 2.0]])
    assert mine() == 1
    printed = capsys.readouterr().out
    assert reason in printed
    assert "source.parquet" in printed
    assert not (out / "mined.parquet").exists()


def test_a_column_of_another_name_is_refused_with_those_that_are_there(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("source", [[1.0]])
    write("target", [[1.0]])
    assert mine("target_embed_column_name=vec") == 1
    assert "lacks the column 'vec' (it has filepath, embedding): target.parquet" in capsys.readouterr().out


def test_a_file_that_is_no_parquet_is_refused(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("target", [[1.0]])
    Path("source.parquet").write_bytes(b"PAR1 cut short")
    assert mine() == 1
    assert "not a readable Parquet table" in capsys.readouterr().out
