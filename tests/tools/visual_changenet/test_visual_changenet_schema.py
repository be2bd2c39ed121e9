from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from deft.tools.visual_changenet.schema import ExperimentConfig

CONTAINER_SPEC = """
encryption_key: tlt_encode
task: classify
results_dir: /results
model:
  backbone: {type: c_radio_v2_vit_base_patch16_224, pretrained_backbone_path: /backbone.safetensors}
  decode_head: {use_summary_token: true, feature_strides: [4, 8, 16, 32]}
  classify: {difference_module: learnable, embed_dec: 30, eval_margin: 0.3, train_margin_euclid: 2}
dataset:
  segment: {root_dir: /data, label_suffix: .png, augmentation: {random_flip: {enable: true}}}
  classify:
    train_dataset: {csv_path: /train.csv, images_dir: /images}
    image_ext: .jpg
    batch_size: 16
    num_input: 4
    input_map: {LowAngleLight: 0, SolderLight: 1, UniformLight: 2, WhiteLight: 3}
    grid_map: {x: 2, y: 2}
    concat_type: grid
    augmentation_config: {augment: true, random_rotate: {angle_list: [90, 180, 270]}}
train:
  num_gpus: 1
  optim: {lr: 5.0e-5, optim: adamw, policy: linear}
  classify: {loss: ce, cls_weight: [1.0, 10.0]}
  checkpointer: {enable_topk: false}
  tensorboard: {enabled: true}
  results_dir: ${results_dir}/train
evaluate:
  checkpoint: ${results_dir}/train/changenet_model_classify_latest.pth
  vis_after_n_batches: 1
export: {onnx_file: /model.onnx, input_width: 224}
gen_trt_engine: {tensorrt: {data_type: fp16}}
wandb: {enable: false}
"""


def merged(text: str) -> Any:
    return OmegaConf.merge(OmegaConf.structured(ExperimentConfig), OmegaConf.create(text))


def test_a_spec_written_for_the_containers_loads_unchanged() -> None:
    config = merged(CONTAINER_SPEC)
    assert list(config.dataset.classify.input_map) == [
        "LowAngleLight",
        "SolderLight",
        "UniformLight",
        "WhiteLight",
    ]
    assert config.train.results_dir == "/results/train"
    assert config.evaluate.checkpoint == "/results/train/changenet_model_classify_latest.pth"
    assert config.train.seed == 1234


def test_the_defaults_are_those_of_the_containers() -> None:
    config = merged("{}")
    assert config.task == "segment"
    assert config.model.backbone.type == "fan_small_12_p4_hybrid"
    assert (config.dataset.classify.batch_size, config.dataset.classify.num_input) == (8, 8)
    assert (config.dataset.classify.image_ext, config.dataset.classify.input_map) == (None, None)
    assert (config.train.num_epochs, config.train.precision) == (10, "32-true")
    assert config.model.classify.eval_margin == 2.0


def test_a_checkpoint_is_missing_until_it_is_read() -> None:
    config = merged("{}")
    assert "checkpoint: ???" in OmegaConf.to_yaml(config)
    with pytest.raises(MissingMandatoryValue):
        str(config.inference.checkpoint)


def test_the_embedded_engine_defaults_to_two_hundred_steps() -> None:
    config = merged("{}")
    assert config.train.num_epochs * config.train.embedded.steps_per_epoch == 200


@pytest.mark.parametrize(
    "text", ["train: {epochs: 3}", "model: {embedded: {depth: 3}}", "automl_policy: off"]
)
def test_an_unknown_key_is_refused(text: str) -> None:
    with pytest.raises(ConfigKeyError):
        merged(text)


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(OmegaConfBaseException):
        merged("train: {num_epochs: 2.5}")
