from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image
from planted_boards import write_split

from deft.embedding.pair_network import PairNetworkSettings, build_pair_network
from deft.errors import InputRefused
from deft.tools.visual_changenet.checkpoint import write_checkpoint
from deft.tools.visual_changenet.predict import evaluate, inference, with_scores

Compose = Callable[..., DictConfig]
SETTINGS = PairNetworkSettings(width=4, image_width=32, image_height=32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network's checkpoint: enough to score with."""
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("checkpoint")
    weights = build_pair_network(SETTINGS).state_dict()
    return write_checkpoint(
        folder, epoch=0, step=1, settings=SETTINGS.as_record(), weights=weights, training={}
    )


def infer(config: DictConfig) -> list[list[str]]:
    inference(config)
    text = (Path(config.results_dir) / "inference" / "inference.csv").read_text()
    return [line.split(",") for line in text.splitlines()]


def test_inference_keeps_columns_rows_and_cells_and_puts_the_score_last(
    compose: Compose, checkpoint: Path, boards: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(boards / "kpi.csv", dtype=str).iloc[::-1]
    table.insert(1, "number_of_pins", "007")
    table.insert(0, "note", '"a, b"')
    table.to_csv(tmp_path / "odd.csv", index=False)
    config = compose(
        inference__checkpoint=str(checkpoint),
        dataset__classify__infer_dataset__csv_path=str(tmp_path / "odd.csv"),
    )
    inference(config)
    result = pd.read_csv(tmp_path / "results" / "inference" / "inference.csv", dtype=str)
    assert list(result.columns) == [*table.columns, "siamese_score"]
    pd.testing.assert_frame_equal(result[list(table.columns)], table.reset_index(drop=True))


def test_a_score_is_the_shortest_text_of_its_float32() -> None:
    scores = np.array([0.1, 1 / 3, 1e-12, 1.0], np.float32)
    table = with_scores(pd.DataFrame({"object_name": list("abcd")}), scores)
    assert table["siamese_score"].tolist() == ["0.1", "0.33333334", "1e-12", "1.0"]
    assert np.array_equal(table["siamese_score"].astype(np.float32), scores)


def test_an_earlier_score_is_overwritten_where_it_stands() -> None:
    table = with_scores(
        pd.DataFrame({"siamese_score": ["9"], "label": ["PASS"]}), np.array([0.5], np.float32)
    )
    assert list(table.columns) == ["siamese_score", "label"]
    assert table["siamese_score"].tolist() == ["0.5"]


def test_a_score_does_not_depend_on_the_batch_size(compose: Compose, checkpoint: Path) -> None:
    one = infer(compose(inference__checkpoint=str(checkpoint), dataset__classify__batch_size=1))
    eight = infer(compose(inference__checkpoint=str(checkpoint)))
    assert one == eight


def test_a_score_is_the_mean_over_quarter_turns_of_both_images(
    compose: Compose, checkpoint: Path, boards: Path, tmp_path: Path
) -> None:
    for path in (boards / "images").rglob("*.png"):
        turned = tmp_path / "turned" / path.relative_to(boards / "images")
        turned.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).transpose(Image.Transpose.ROTATE_90).save(turned)
    upright = infer(compose(inference__checkpoint=str(checkpoint)))
    turned_root = str(tmp_path / "turned")
    rotated = infer(
        compose(
            inference__checkpoint=str(checkpoint), dataset__classify__infer_dataset__images_dir=turned_root
        )
    )
    pairs = [(float(a[-1]), float(b[-1])) for a, b in zip(upright[1:], rotated[1:], strict=True)]
    assert all(a == pytest.approx(b, abs=1e-6) for a, b in pairs)


def test_inference_takes_rows_without_a_usable_label(
    compose: Compose, checkpoint: Path, boards: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(boards / "kpi.csv", dtype=str).assign(label="")
    table.to_csv(tmp_path / "new.csv", index=False)
    rows = infer(
        compose(
            inference__checkpoint=str(checkpoint),
            dataset__classify__infer_dataset__csv_path=str(tmp_path / "new.csv"),
        )
    )
    assert len(rows) == 1 + len(table)


def test_several_lights_of_a_component_give_one_score(
    compose: Compose, checkpoint: Path, tmp_path: Path
) -> None:
    write_split(tmp_path, "lit", 8, lights=("White", "Side"))
    rows = infer(
        compose(
            inference__checkpoint=str(checkpoint),
            dataset__classify__input_map={"White": 0, "Side": 1},
            dataset__classify__infer_dataset={
                "csv_path": str(tmp_path / "lit.csv"),
                "images_dir": str(tmp_path / "images"),
            },
        )
    )
    assert len(rows) == 9


def test_evaluate_prints_and_records_rates_at_the_margin(
    compose: Compose, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(compose(evaluate__checkpoint=str(checkpoint), model__classify__eval_margin=0.0))
    expected = (
        "Tot Comp 18 Total Accuracy 33.33 False Negative 0.00 False Alarm 66.67 "
        "Defect Correctly Captured 100.00 for Margin 0.0"
    )
    assert expected in capsys.readouterr().out
    records = [
        json.loads(line)
        for line in (tmp_path / "results" / "evaluate" / "status.json").read_text().splitlines()
    ]
    assert [record["message"] for record in records] == [
        "Starting Visual ChangeNet evaluate.",
        f"Loading checkpoint: {checkpoint}",
        "Test metrics generated.",
        "Evaluate finished successfully.",
        "Evaluate is complete.",
    ]
    kpi = records[-1]["kpi"]
    assert list(kpi) == ["test_acc", "test_fpr", "test_fnr", "defect_acc"]
    assert kpi["test_fpr"] == pytest.approx(200 / 3)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model__embedded__width", 8),
        ("dataset__classify__image_width", 64),
        ("dataset__classify__image_height", 64),
    ],
)
def test_a_checkpoint_of_another_shape_is_refused_by_the_key(
    compose: Compose, checkpoint: Path, key: str, value: int
) -> None:
    with pytest.raises(InputRefused, match=key.replace("__", ".")):
        inference(compose(inference__checkpoint=str(checkpoint), **{key: value}))


def test_a_checkpoint_of_another_engine_is_refused(compose: Compose, tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "foreign.pth")
    with pytest.raises(InputRefused, match="not trained with backbone deft_mid_fusion"):
        inference(compose(inference__checkpoint=str(tmp_path / "foreign.pth")))


def test_a_missing_checkpoint_is_refused(compose: Compose, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="checkpoint does not exist"):
        evaluate(compose(evaluate__checkpoint=str(tmp_path / "none.pth")))


def test_a_table_smaller_than_a_batch_is_refused_in_inference_too(compose: Compose, checkpoint: Path) -> None:
    with pytest.raises(
        InputRefused, match=r"Dataset size \(18\) is smaller than the total batch size \(19\)"
    ):
        inference(compose(inference__checkpoint=str(checkpoint), dataset__classify__batch_size=19))


def test_an_unreadable_image_is_named(
    compose: Compose, checkpoint: Path, boards: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(boards / "kpi.csv", dtype=str)
    table["input_path"] = "broken"
    table.to_csv(tmp_path / "broken.csv", index=False)
    images = shutil.copytree(boards / "images", tmp_path / "images")
    (images / "broken").mkdir()
    for name in table["object_name"]:
        (images / "broken" / f"{name}.png").write_bytes(b"not an image")
    with pytest.raises(InputRefused, match=r"image cannot be read[\s\S]*kpi\d+\.png"):
        inference(
            compose(
                inference__checkpoint=str(checkpoint),
                dataset__classify__infer_dataset__csv_path=str(tmp_path / "broken.csv"),
                dataset__classify__infer_dataset__images_dir=str(images),
            )
        )
