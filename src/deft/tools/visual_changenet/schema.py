"""The keys of a `visual_changenet` experiment spec, with TAO's types and defaults.

Sections that belong to other tasks or to deployment (`dataset.segment`, `export`, `quantize`, ...) are taken
as they are and not read, so that a spec written for the containers loads here unchanged. Keys of the embedded
engine alone live in `model.embedded` and `train.embedded`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class BackboneSpec:
    """Which network compares the two images, and where its pretrained weights lie."""

    type: str = "fan_small_12_p4_hybrid"
    feat_downsample: bool = False
    pretrained_backbone_path: str | None = None
    freeze_backbone: bool = False


@dataclass
class DecodeHeadSpec:
    """Feature levels that the comparison reads."""

    in_channels: list[int] = field(default_factory=lambda: [128, 256, 384, 384])
    in_index: list[int] = field(default_factory=lambda: [0, 1, 2, 3])
    feature_strides: list[int] = field(default_factory=lambda: [4, 8, 16, 16])
    align_corners: bool = False
    decoder_params: dict[str, int] = field(default_factory=lambda: {"embed_dim": 256})
    use_summary_token: bool = False


@dataclass
class ModelClassifySpec:
    """How the two feature sets become one score."""

    train_margin_euclid: float = 2.0
    eval_margin: float = 2.0
    embedding_vectors: int = 5
    embed_dec: int = 5
    learnable_difference_modules: int = 4
    difference_module: str | None = "euclidean"


@dataclass
class ModelEmbeddedSpec:
    """The embedded engine: channels of its first stage, rotations averaged in a score."""

    width: int = 24
    rotations: int = 4


@dataclass
class ModelSpec:
    """Everything that a checkpoint must agree with."""

    backbone: BackboneSpec = field(default_factory=BackboneSpec)
    decode_head: DecodeHeadSpec = field(default_factory=DecodeHeadSpec)
    classify: ModelClassifySpec = field(default_factory=ModelClassifySpec)
    embedded: ModelEmbeddedSpec = field(default_factory=ModelEmbeddedSpec)
    precise_msda: bool = False


@dataclass
class RandomFlip:
    """Mirror images."""

    vflip_probability: float = 0.5
    hflip_probability: float = 0.5
    enable: bool = True


@dataclass
class RandomRotation:
    """Turn images by one of some angles."""

    rotate_probability: float = 0.5
    angle_list: list[float] = field(default_factory=lambda: [90.0, 180.0, 270.0])
    enable: bool = True


@dataclass
class RandomColor:
    """Jitter colours."""

    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3
    hue: float = 0.3
    enable: bool = True
    color_probability: float = 0.5


@dataclass
class RandomCropWithScale:
    """Crop at a random scale."""

    scale_range: list[float] = field(default_factory=lambda: [1.0, 1.2])
    enable: bool = True


@dataclass
class AugmentationSpec:
    """Normalisation and augmentation of classify images."""

    rgb_input_mean: list[float] = field(default_factory=lambda: [0.485, 0.456, 0.406])
    rgb_input_std: list[float] = field(default_factory=lambda: [0.229, 0.224, 0.225])
    random_flip: RandomFlip = field(default_factory=RandomFlip)
    random_rotate: RandomRotation = field(default_factory=RandomRotation)
    random_color: RandomColor = field(default_factory=RandomColor)
    with_scale_random_crop: RandomCropWithScale = field(default_factory=RandomCropWithScale)
    with_random_blur: bool = True
    with_random_crop: bool = True
    augment: bool = False


@dataclass
class SplitSpec:
    """The table of one split and the folder its image paths are relative to."""

    csv_path: str = ""
    images_dir: str = ""


@dataclass
class DatasetClassifySpec:
    """Tables, image naming and batches."""

    train_dataset: SplitSpec = field(default_factory=SplitSpec)
    validation_dataset: SplitSpec = field(default_factory=SplitSpec)
    test_dataset: SplitSpec = field(default_factory=SplitSpec)
    infer_dataset: SplitSpec = field(default_factory=SplitSpec)
    image_ext: str | None = None
    batch_size: int = 8
    workers: int = 8
    fpratio_sampling: float = 0.1
    num_input: int = 8
    input_map: dict[str, int] | None = None
    grid_map: dict[str, int] | None = None
    concat_type: str | None = None
    image_width: int = 224
    image_height: int = 224
    augmentation_config: AugmentationSpec = field(default_factory=AugmentationSpec)
    num_classes: int = 2
    num_golden: int = 1
    quant_calibration_dataset: dict[str, Any] = field(default_factory=dict)


@dataclass
class DatasetSpec:
    """The data of both tasks; only `classify` is read."""

    segment: dict[str, Any] = field(default_factory=dict)
    classify: DatasetClassifySpec = field(default_factory=DatasetClassifySpec)


@dataclass
class CudnnSpec:
    """Switches of cuDNN."""

    benchmark: bool = False
    deterministic: bool = True


@dataclass
class OptimSpec:
    """The optimiser of the pretrained backbones; the embedded engine has its own recipe."""

    monitor_name: str = "val_loss"
    optim: str = "adamw"
    lr: float = 0.0001
    policy: str = "linear"
    momentum: float = 0.9
    weight_decay: float = 0.01


@dataclass
class TrainClassifySpec:
    """The loss of the pretrained backbones; the embedded engine uses binary cross entropy."""

    loss: str = "contrastive"
    cls_weight: list[float] = field(default_factory=lambda: [1.0, 10.0])


@dataclass
class TensorboardSpec:
    """Accepted and not read: this engine writes status.json only."""

    enabled: bool = False
    infrequent_logging_frequency: int = 2


@dataclass
class TrainEmbeddedSpec:
    """The embedded engine's recipe; `num_epochs * steps_per_epoch` is the number of steps."""

    steps_per_epoch: int = 20
    peak_lr: float = 0.004
    warm_lr: float = 0.002
    defect_share: float = 0.4
    weight_decay: float = 0.02
    threads: int = 0
    augmentation: bool = True


@dataclass
class TrainSpec:
    """How to train, from what, and how often to validate and to save."""

    num_gpus: int = 1
    gpu_ids: list[int] = field(default_factory=lambda: [0])
    num_nodes: int = 1
    seed: int = 1234
    cudnn: CudnnSpec = field(default_factory=CudnnSpec)
    num_epochs: int = 10
    checkpoint_interval: int = 1
    checkpoint_interval_unit: str = "epoch"
    validation_interval: int = 1
    resume_training_checkpoint_path: str | None = None
    results_dir: str | None = None
    checkpointer: dict[str, Any] = field(default_factory=dict)
    optim: OptimSpec = field(default_factory=OptimSpec)
    pretrained_model_path: str | None = None
    classify: TrainClassifySpec = field(default_factory=TrainClassifySpec)
    segment: dict[str, Any] = field(default_factory=dict)
    tensorboard: TensorboardSpec | None = field(default_factory=TensorboardSpec)
    precision: str = "32-true"
    sync_batchnorm: bool = False
    use_distributed_sampler: bool = False
    embedded: TrainEmbeddedSpec = field(default_factory=TrainEmbeddedSpec)


@dataclass
class EvaluateSpec:
    """Which checkpoint to score a table with (`evaluate` and `inference`)."""

    num_gpus: int = 1
    gpu_ids: list[int] = field(default_factory=lambda: [0])
    num_nodes: int = 1
    checkpoint: str = MISSING
    trt_engine: str | None = None
    results_dir: str | None = None
    vis_after_n_batches: int = 16
    batch_size: int = -1


@dataclass
class ExperimentConfig:
    """The whole spec of `visual_changenet train | evaluate | inference`."""

    model_name: str | None = "visual_changenet"
    encryption_key: str | None = None
    results_dir: str | None = ""
    wandb: dict[str, Any] = field(default_factory=dict)
    model: ModelSpec = field(default_factory=ModelSpec)
    dataset: DatasetSpec = field(default_factory=DatasetSpec)
    train: TrainSpec = field(default_factory=TrainSpec)
    evaluate: EvaluateSpec = field(default_factory=EvaluateSpec)
    inference: EvaluateSpec = field(default_factory=EvaluateSpec)
    export: dict[str, Any] = field(default_factory=dict)
    gen_trt_engine: dict[str, Any] = field(default_factory=dict)
    quantize: dict[str, Any] = field(default_factory=dict)
    task: str | None = "segment"
