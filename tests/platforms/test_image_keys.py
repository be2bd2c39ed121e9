"""An image is asked once for its keys; what it calls otherwise is renamed, what it lacks is named."""

from __future__ import annotations

import pytest

from deft.errors import EnvironmentMissing, InputRefused
from deft.platforms.containers import Image
from deft.platforms.image_keys import fit_spec, known_keys, read_keys

IMAGE = Image("tao@sha256:" + "b" * 64)
SHOWN = """\
/usr/lib/python3/x.py:12: UserWarning: old
INFO starting
model:
  backbone:
    type: fan_small_12_p4_hybrid
  classify: {}
dataset:
  classify:
    input_map: null
    image_ext: .jpg
    augmentation_config:
      rgb_input_mean:
      - 0.485
train:
  num_epochs: 10
  a_long_text: this text is so long that it goes on
    in the next line
results_dir: ???
Execution status: PASS
"""


def test_the_keys_are_read_whatever_stands_around_them() -> None:
    keys = read_keys(SHOWN)
    assert {"model.backbone.type", "dataset.classify.input_map", "train.num_epochs", "results_dir"} <= keys
    assert "dataset.classify.augmentation_config.rgb_input_mean" in keys
    assert "model.classify.type" not in keys


def test_an_image_is_asked_once_for_each_action() -> None:
    asked = []

    def ask() -> str:
        asked.append("asked")
        return SHOWN

    first = known_keys(IMAGE, "visual_changenet", "train", ask)
    assert known_keys(IMAGE, "visual_changenet", "train", ask) == first
    assert known_keys(IMAGE, "visual_changenet", "inference", ask) == first
    assert known_keys(Image("tao@sha256:" + "c" * 64), "visual_changenet", "train", ask) == first
    assert len(asked) == 3


def test_an_answer_without_keys_is_an_error_that_shows_it_and_is_not_kept() -> None:
    with pytest.raises(EnvironmentMissing, match="Primary config directory not found"):
        known_keys(IMAGE, "embedding", "image_embeddings", lambda: "Primary config directory not found")
    assert known_keys(IMAGE, "embedding", "image_embeddings", lambda: "model: x\n") == {"model"}


def test_a_spec_whose_keys_are_known_passes_unchanged() -> None:
    spec = {
        "dataset": {"classify": {"input_map": {"LowAngle": 0}, "image_ext": ".png"}},
        "train": {"num_epochs": 3},
        "results_dir": "/r",
    }
    assert fit_spec(spec, "visual_changenet", read_keys(SHOWN)) == (spec, [])


def test_keys_of_the_embedded_engine_are_never_sent() -> None:
    spec = {"train": {"num_epochs": 3, "embedded": {"threads": 2}}, "model": {"embedded": {}}}
    assert fit_spec(spec, "visual_changenet", read_keys(SHOWN)) == ({"train": {"num_epochs": 3}}, [])


def test_an_older_image_gets_the_older_names() -> None:
    known = frozenset({"inference_csv", "output_dir", "threshold"})
    spec = {"inference_results_dir": "/run/inference", "results_dir": "/run/rca", "threshold": -1.0}
    fitted, notes = fit_spec(spec, "gap_analysis", known)
    assert fitted == {
        "inference_csv": "/run/inference/inference.csv",
        "output_dir": "/run/rca",
        "threshold": -1.0,
    }
    assert notes == ["inference_results_dir is sent as inference_csv", "results_dir is sent as output_dir"]


def test_a_newer_key_is_left_out_only_where_it_asks_for_nothing() -> None:
    known = read_keys(SHOWN)
    fitted, notes = fit_spec({"model": {"precise_msda": False}}, "visual_changenet", known)
    assert (fitted, len(notes)) == ({}, 1)
    with pytest.raises(InputRefused, match=r"1 key of the spec: model\.precise_msda"):
        fit_spec({"model": {"precise_msda": True}}, "visual_changenet", known)


def test_every_key_that_the_image_lacks_is_named() -> None:
    spec = {"train": {"num_epoch": 3}, "automl": "off", "model": {"backbone": {"kind": "x"}}}
    with pytest.raises(
        InputRefused, match=r"3 keys of the spec: train\.num_epoch, automl, model\.backbone\.kind"
    ):
        fit_spec(spec, "visual_changenet", read_keys(SHOWN))
