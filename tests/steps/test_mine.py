"""Mining alone: the seed's folder, any form of pool, and searches that cannot find anything."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from deft import files
from deft.embedding.sets import EmbeddingSet, read_arrow, write_embeddings
from deft.workspace.layout import Workspace
from step_fixtures import StepPlatform, agreed, run_deft, say_go, use_step_platform
from tiny_workspace import LIGHT, make_workspace

OFF = ("--min-similarity", "none")


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> StepPlatform:
    return use_step_platform(monkeypatch)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "workspace")


def images_of(table: Path, images: Path) -> pd.DataFrame:
    rows = files.read_csv(table)
    paths = [f"{images}/{r.input_path}/{r.object_name}_{LIGHT}.png" for r in rows.itertuples()]
    goldens = [f"{images}/{r.golden_path}/{r.object_name}_{LIGHT}.png" for r in rows.itertuples()]
    return pd.DataFrame({"filepath": paths, "label": rows["label"], "golden_filepath": goldens})


@pytest.fixture
def sides(workspace: Workspace, tmp_path: Path) -> tuple[Path, Path]:
    """Return three weak targets and the pool, both as Parquet outside the workspace."""
    targets = images_of(workspace.kpi_table, workspace.images).tail(3)
    pool = images_of(workspace.mining_pool_table, workspace.mining_pool / "images")
    pool["provenance"] = "real"
    place = tmp_path / "tables"
    return (
        files.write_parquet(place / "targets.parquet", targets),
        files.write_parquet(place / "pool.parquet", pool),
    )


def mined(capsys: pytest.CaptureFixture[str], sides: tuple[Path, Path], *more: object) -> dict:
    place = sides[0].parent
    return agreed(capsys, place, "mine", *sides, "--output-dir", place / "out", *more)


def refused(capsys: pytest.CaptureFixture[str], sides: tuple[Path, Path], *more: object) -> dict:
    code, record = run_deft(capsys, "mine", *sides, "--output-dir", sides[0].parent / "out", *more)
    assert code in (2, 3)
    return record["error"]


def test_the_results_are_those_of_the_seed(stub, capsys, sides):
    record = mined(capsys, sides, *OFF)
    folder = Path(record["folder"])
    assert folder.parent.name == "mining_results"
    assert {path.name for path in folder.iterdir()} == {
        "embedding_spec.yaml",
        "mining_spec.yaml",
        "target_embeddings.parquet",
        "source_embeddings.parquet",
        "mined.parquet",
        "mining_summary.txt",
        "knn_summary.csv",
        "neighbours.parquet",
        "embed_pool.log",
        "embed_targets.log",
        "plan.json",
        "approval.json",
    }
    kept = pd.read_parquet(folder / "mined.parquet")
    assert list(kept.columns) == ["filepath"]
    assert len(kept) == record["mined"] > 0
    assert files.read_yaml(folder / "mining_spec.yaml")["topn"] == 5


def test_one_spec_drives_both_embeddings_the_pools_first(stub, capsys, sides):
    mined(capsys, sides, *OFF)
    pool, targets = stub.calls
    assert pool.spec == targets.spec
    assert Path(str(pool.overrides["input_parquet"])) == sides[1]
    assert "statistics_parquet" not in targets.overrides


def test_the_pair_encoder_standardises_the_targets_on_the_pool(stub, capsys, sides, tmp_path):
    checkpoint = files.write_text(tmp_path / "model.pth", "weights")
    record = mined(capsys, sides, "--encoder", "deft_pair", "--encoder-path", checkpoint)
    pool, targets = stub.calls
    assert targets.overrides["statistics_parquet"] == pool.overrides["output_parquet"]
    plan = files.read_json(Path(record["folder"]) / "plan.json")
    assert plan["settings"]["filter_by_label"] == {"value": "class", "source": "default"}
    assert str(checkpoint) in plan["inputs"]


def test_the_pair_encoder_asks_for_its_checkpoint_and_its_goldens(stub, capsys, sides, tmp_path):
    assert "--encoder-path" in refused(capsys, sides, "--encoder", "deft_pair")["hint"]
    checkpoint = files.write_text(tmp_path / "model.pth", "weights")
    files.write_parquet(sides[0], pd.read_parquet(sides[0]).drop(columns="golden_filepath"))
    error = refused(capsys, sides, "--encoder", "deft_pair", "--encoder-path", checkpoint)
    assert "golden_filepath" in error["fact"]


def test_a_csv_pool_is_converted_with_its_paths_as_they_are(stub, capsys, sides):
    table = pd.read_parquet(sides[1])
    pool = files.write_csv(sides[1].with_suffix(".csv"), table)
    folder = Path(mined(capsys, (sides[0], pool), *OFF)["folder"])
    converted = pd.read_parquet(folder / "source_pool.parquet")
    assert converted["filepath"].tolist() == table["filepath"].tolist()


def test_a_pool_that_has_vectors_is_not_embedded_again(stub, capsys, sides):
    first = Path(mined(capsys, sides, *OFF)["folder"])
    stub.calls.clear()
    pool = files.write_bytes(sides[1], (first / "source_embeddings.parquet").read_bytes())
    second = Path(mined(capsys, (sides[0], pool), *OFF)["folder"])
    assert [call.title for call in stub.calls] == ["embed targets"]
    for name in ("mined.parquet", "neighbours.parquet"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_a_pool_that_another_encoder_embedded_is_refused(stub, capsys, sides):
    first = Path(mined(capsys, sides, *OFF)["folder"])
    embedded = EmbeddingSet.read(first / "source_embeddings.parquet")
    columns = read_arrow(sides[1], required=())
    write_embeddings(sides[1], columns, embedded.matrix, {"model": "CLIP", "width": 8})
    place = sides[0].parent
    call = ("mine", *sides, "--output-dir", place / "out", *OFF)
    run_deft(capsys, *call)
    say_go(place)
    code, record = run_deft(capsys, *call)
    assert code == 3
    assert "embeddings of different encoders" in record["error"]["fact"]


def test_a_pool_without_any_wanted_label_is_refused_before_anything_is_embedded(stub, capsys, sides):
    pool = pd.read_parquet(sides[1])
    files.write_parquet(sides[1], pool[pool["label"] == "PASS"])
    error = refused(capsys, sides, "--filter-by-label", "class")
    assert "pool covers no target" in error["fact"]
    assert stub.calls == []


def test_labels_that_only_some_targets_lack_are_advice(stub, capsys, sides):
    targets = pd.read_parquet(sides[0])
    targets.loc[targets.index[0], "label"] = "scratch"
    files.write_parquet(sides[0], targets)
    record = mined(capsys, sides, "--filter-by-label", "label", *OFF)
    assert record["warnings"] == ["pool holds no candidate for scratch targets"]
    plan = files.read_json(Path(record["folder"]) / "plan.json")
    assert plan["advice"] == ["the real pool holds no example of scratch"]


def test_a_label_filter_without_labels_is_refused_instead_of_ignored(stub, capsys, sides):
    files.write_parquet(sides[0], pd.read_parquet(sides[0]).drop(columns="label"))
    error = refused(capsys, sides, "--filter-by-label", "label")
    assert error["hint"] == "--filter-by-label none"


def test_tables_without_labels_are_mined_when_nobody_filters(stub, capsys, sides):
    for path in sides:
        files.write_parquet(path, pd.read_parquet(path)[["filepath"]])
    record = mined(capsys, sides, "--top-k", 2, *OFF)
    assert 2 <= record["mined"] <= 6
    assert record["targets"] == 3


def test_a_cut_that_leaves_nothing_says_so(stub, capsys, sides):
    record = mined(capsys, sides, "--min-similarity", "1.0")
    assert record["mined"] == 0
    assert "below similarity cut" in record["warnings"][0]


@pytest.mark.parametrize(
    ("rows", "fact"),
    [
        ({"filepath": []}, "no rows"),
        ({"path": ["a"]}, "lacks filepath"),
        ({"filepath": ["/no"]}, "not exist"),
    ],
)
def test_a_pool_that_cannot_be_used_is_refused(stub, capsys, sides, rows, fact):
    files.write_parquet(sides[1], pd.DataFrame(rows))
    assert fact in refused(capsys, sides)["fact"]


@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")
def test_an_index_is_asked_for_by_name_and_says_what_it_finds(stub, capsys, sides, faiss):
    exact = mined(capsys, sides, *OFF)
    record = mined(capsys, sides, *OFF, "--index", "ivf")
    assert record["index"].startswith("ivf, measured recall 1.0000")
    assert record["mined"] == exact["mined"]
    folder = Path(record["folder"])
    assert files.read_json(folder / "index.json") == {"used": "ivf", "recall": 1.0, "reason": ""}
    assert files.read_json(folder / "plan.json")["settings"]["index"] == {"value": "ivf", "source": "user"}
    assert "unknown index" in refused(capsys, sides, "--index", "hnsw")["fact"]
