"""`tmm unique_neighbor_matching` beyond the recorded cases: keys, exclusion, embeddings, classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conformance import difference
from deft.tools.__main__ import main


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(2)
    for name, rows in (("source", 12), ("target", 2)):
        paths = [f"/{name}/{number:02}.jpg" for number in range(rows)]
        vectors = draw.normal(size=(rows, 4)).tolist()
        pd.DataFrame({"filepath": paths, "embedding": vectors}).to_parquet(f"{name}.parquet")
    return tmp_path / "out"


def match(*overrides: str, wanted: int = 4) -> int:
    keys = ["source_path=source.parquet", "target_path=target.parquet", "output_dir=out"]
    command = ["tmm", "unique_neighbor_matching", *keys, f"desired_unique_count={wanted}"]
    return main([*command, *overrides])


def chosen(out: Path, column: str = "filepath") -> list[str]:
    return pd.read_parquet(out / "final_unique_files.parquet")[column].tolist()


def coco(name: str, classes: dict[str, str]) -> None:
    names = sorted(set(classes.values()))
    record: dict[str, Any] = {
        "images": [{"id": path, "file_name": path} for path in classes],
        "categories": [{"id": name, "name": name} for name in names],
        "annotations": [{"image_id": path, "category_id": name} for path, name in classes.items()],
    }
    Path(name).write_text(json.dumps(record))


def test_an_excluded_image_is_never_chosen_by_path_or_base_name(out: Path) -> None:
    match()
    first = chosen(out)
    excluded = [first[0], f"/elsewhere/{Path(first[1]).name}"]
    pd.DataFrame({"filepath": excluded}).to_parquet("excluded.parquet")
    assert match("exclude_path=excluded.parquet") == 0
    assert not set(first[:2]) & set(chosen(out))


def test_the_picks_carry_their_vectors_when_asked_for(out: Path) -> None:
    match("save_embeddings=true")
    picks = pd.read_parquet(out / "global_iteration_1_topn_2.parquet")
    assert picks.columns.tolist()[:4] == [
        "target_filepath",
        "target_embedding",
        "top1_source_filepath",
        "top1_distance",
    ]
    gap = np.linalg.norm(picks["target_embedding"][0] - picks["top1_source_embedding"][0])
    assert gap == pytest.approx(picks["top1_distance"][0], abs=1e-6)


def test_the_result_keeps_the_name_of_the_path_column(out: Path) -> None:
    pd.read_parquet("source.parquet").rename(columns={"filepath": "image"}).to_parquet("source.parquet")
    assert match("source_filepath_column=image") == 0
    assert len(chosen(out, "image")) == 4


def test_a_class_gets_its_share_from_its_own_images(out: Path) -> None:
    coco("target.json", {"/target/00.jpg": "bridge", "/target/01.jpg": "chip"})
    coco("source.json", {f"/source/{number:02}.jpg": "Bridge" for number in (3, 5, 7)})
    classes = ["source_detection_file=source.json", "target_detection_file=target.json"]
    keys = ["allocation_policy=class_stratified", "detection_format=coco", "rare_class_list=BRIDGE"]
    assert match(*classes, *keys) == 0
    record = json.loads((out / "summary.json").read_text())
    assert record["allocation"]["per_class"]["bridge"]["desired_count"] == 2
    assert record["resultant_dataset"]["rare_images"] == 2
    assert record["distance_stats"]["per_class"]["bridge"]["count"] == 1


def test_a_class_without_targets_gets_nothing(out: Path) -> None:
    coco("target.json", {"/target/00.jpg": "chip"})
    coco("source.json", {"/source/03.jpg": "bridge"})
    classes = ["source_detection_file=source.json", "target_detection_file=target.json"]
    keys = ["allocation_policy=class_stratified", "detection_format=coco", "rare_class_list=bridge"]
    assert match(*classes, *keys) == 0
    assert "/source/03.jpg" not in chosen(out)
    assert len(chosen(out)) == 4


def test_pictures_are_not_drawn_and_this_is_said(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert difference("no-neighbour-pictures")
    assert match("visualize=true") == 0
    assert "WARNING visualize is not done here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["desired_unique_count=-1"], "desired_unique_count is required"),
        (["candidate_expansion_factor=0"], "candidate_expansion_factor must be at least 1"),
        (["allocation_policy=fair"], "choose one of global, class_stratified"),
        (
            ["allocation_policy=class_stratified", "rare_class_list=bridge"],
            "needs more keys: source_detection_file, target_detection_file",
        ),
        (["source_detection_file=source.json"], "detection_format is required"),
        (["distance_metric=angular"], "choose one of cosine, euclidean, manhattan"),
        (["source_embedding_column=vec"], "table lacks vec"),
    ],
)
def test_a_call_that_cannot_be_carried_out_leaves_nothing(
    out: Path, overrides: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert match(*overrides) == 1
    assert reason in capsys.readouterr().out
    assert not out.exists()
