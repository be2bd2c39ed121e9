"""Pretrained vision transformers on a classify spec, with TAO's two ways to compare.

`euclidean`: each image's summary goes through a small network to a short vector; the score is the distance of
the pair, trained by the contrastive loss. `learnable`: patch maps of several depths are compared by
convolutions, joined and classified; the score is the probability of a defect, trained by weighted cross
entropy. The comparison networks are this package's own, so their checkpoints are not interchangeable with
TAO's; backbone weights are. Lights are compared one by one and averaged.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from deft.errors import InputRefused, UsageError
from deft.tools.visual_changenet.backbone_names import renamed
from deft.tools.visual_changenet.backbones import (
    load_backbone,
    read_backbone,
    require_transformer,
    shape_of,
)
from deft.tools.visual_changenet.comparison import build_comparison, compare
from deft.tools.visual_changenet.engine import Flags, Floats
from deft.tools.visual_changenet.recipe import require_size
from deft.tools.visual_changenet.vision_transformer import (
    TransformerShape,
    build_transformer,
    transformer_features,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

LOSSES = {"euclidean": "contrastive", "learnable": "ce"}
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
NORMALISATIONS = {"radio": _CLIP, "_clip": _CLIP, "siglip": ((0.5,) * 3, (0.5,) * 3)}
"""What families other than DINO were trained with; taken where the spec has ImageNet's, its default."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STDS = ((0.229, 0.224, 0.225), (0.226, 0.226, 0.226))


class TransformerPair:
    """A vision transformer shared by golden and test, and a comparison of the two."""

    rotations = 1
    average_decay = 0.0

    def __init__(self, config: DictConfig) -> None:
        self._config = config
        self._kind: str = config.model.backbone.type
        self._shape = require_transformer(self._kind)
        self._module: str = config.model.classify.difference_module
        self._require_coupling()
        ratio = config.dataset.classify.fpratio_sampling
        self.defect_share: float = ratio / (1 + ratio)
        self.augments: bool = config.dataset.classify.augmentation_config.augment
        self.margin: float = 0.5 if self._module == "learnable" else config.model.classify.eval_margin

    def _require_coupling(self) -> None:
        loss, backbone = self._config.train.classify.loss, self._config.model.backbone
        if LOSSES.get(self._module) != loss:
            raise UsageError(
                "model.classify.difference_module and train.classify.loss do not belong together",
                value=f"{self._module}, {loss}",
                hint="; ".join(f"{module} needs {name}" for module, name in LOSSES.items()),
            )
        if self._module == "learnable" and len(self._config.train.classify.cls_weight) != 2:
            raise UsageError("train.classify.cls_weight must hold two weights")
        if backbone.freeze_backbone and not backbone.pretrained_backbone_path:
            raise UsageError("model.backbone.freeze_backbone needs model.backbone.pretrained_backbone_path")

    def record(self) -> dict[str, Any]:
        """Return what a checkpoint stores: the backbone's shape and how pairs are compared."""
        classify = self._config.model.classify
        return {
            "backbone": self._kind,
            **asdict(self._shape),
            "difference_module": self._module,
            "embedding_vectors": classify.embedding_vectors,
            "embed_dec": classify.embed_dec,
            "learnable_difference_modules": classify.learnable_difference_modules,
        }

    def require_same(self, checkpoint: dict[str, Any], path: Path) -> None:
        """Refuse another network's checkpoint; the backbone's shape is taken from it, not from the spec."""
        trained = dict(checkpoint.get("settings") or {})
        for name, value in self.record().items():
            if name not in asdict(self._shape) and trained.get(name) != value:
                raise InputRefused(
                    f"checkpoint was trained with {name}={trained.get(name)}, the spec says {value}",
                    value=path,
                )
        self._shape = TransformerShape(
            **{name: trained[name] for name in asdict(self._shape) if name in trained}
        )

    def build(self, *, pretrained: bool) -> nn.ModuleDict:
        """Return the network: the backbone, with its pretrained weights if asked for, and the comparison."""
        from torch import nn

        source = self._config.model.backbone.pretrained_backbone_path if pretrained else None
        weights, unused = renamed(read_backbone(source)) if source else ({}, [])
        if weights:
            self._shape = shape_of(self._shape, weights)
        require_size(self._config, self._shape.patch)
        backbone = build_transformer(self._shape)
        if weights:
            load_backbone(backbone, weights, unused)
        backbone.requires_grad_(not self._config.model.backbone.freeze_backbone)
        classify = self._config.model.classify
        comparison = build_comparison(self._module, self._shape.width, OmegaConf.to_container(classify))
        return nn.ModuleDict({"backbone": backbone, "comparison": comparison})

    def for_scoring(self, network: nn.Module) -> nn.Module:
        """Return the network as it is, in inference mode."""
        return network.train(False)

    def outputs(self, network: nn.Module, golden: Tensor, test: Tensor) -> Tensor:
        """Return the pair's distance (euclidean) or the logit of a defect (learnable), mean over lights."""
        import torch

        pairs, lights = test.shape[:2]
        both = self._normalised(torch.cat([golden.flatten(0, 1), test.flatten(0, 1)]))
        mixed = self._config.train.precision == "bf16-mixed"
        levels = self._config.model.classify.learnable_difference_modules
        with torch.autocast(both.device.type, torch.bfloat16, enabled=mixed):
            maps, summary = transformer_features(network["backbone"], self._shape, both, levels)
        exact = [level.float() for level in maps]
        outputs = compare(self._module, network["comparison"], exact, summary.float())
        return outputs.unflatten(0, (pairs, lights)).mean(1)

    def _normalised(self, images: Tensor) -> Tensor:
        import torch

        options = self._config.dataset.classify.augmentation_config
        mean, std = tuple(options.rgb_input_mean), tuple(options.rgb_input_std)
        is_default = _close(mean, IMAGENET_MEAN) and any(_close(std, known) for known in IMAGENET_STDS)
        if is_default:
            trained = [values for family, values in NORMALISATIONS.items() if family in self._kind]
            mean, std = (trained or [(mean, std)])[0]
        centre, spread = (torch.tensor(values)[:, None, None] for values in (mean, std))
        return (images - centre) / spread

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the contrastive loss of distances, or the weighted cross entropy of logits."""
        from torch.nn import functional

        if self._module == "euclidean":
            short = (self._config.model.classify.train_margin_euclid - outputs).clamp(min=0)
            return ((1 - target) * outputs.square() + target * short.square()).mean()
        good, defect = self._config.train.classify.cls_weight
        weight = good + (defect - good) * target
        losses = functional.binary_cross_entropy_with_logits(outputs, target, reduction="none")
        return (weight * losses).sum() / weight.sum()

    def validation_loss(self, outputs: Floats, is_defect: Flags) -> float:
        """Return the training loss of the whole split."""
        import torch

        return float(self.loss(torch.from_numpy(outputs), torch.from_numpy(is_defect).float()))

    def scores(self, outputs: Floats) -> Floats:
        """Return distances as they are, logits as probabilities."""
        if self._module == "euclidean":
            return outputs
        return np.exp(-np.logaddexp(0, -outputs.astype(np.float64))).astype(np.float32)

    def steps_per_epoch(self, rows: int) -> int:
        """Return the whole batches in a table."""
        return max(rows // int(self._config.dataset.classify.batch_size), 1)

    def optimizer(self, network: nn.Module, *, warm: bool) -> Any:
        """Return `train.optim`'s optimiser over what is not frozen."""
        import torch

        options = self._config.train.optim
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if options.optim == "sgd":
            return torch.optim.SGD(trained, options.lr, options.momentum, weight_decay=options.weight_decay)
        kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
        if options.optim not in kinds:
            raise UsageError("train.optim.optim must be adamw, adam or sgd", value=options.optim)
        return kinds[options.optim](trained, lr=options.lr, weight_decay=options.weight_decay)

    def schedule(self, optimizer: Any, total_steps: int, steps_per_epoch: int, last_step: int) -> Any:
        """Return the rate that falls by epochs: linearly, or tenfold every third of them."""
        from torch.optim.lr_scheduler import LambdaLR

        epochs, policy = self._config.train.num_epochs, self._config.train.optim.policy
        factors = {
            "linear": lambda step: 1 - (step // steps_per_epoch) / (epochs + 1),
            "step": lambda step: 0.1 ** (step // steps_per_epoch // max(epochs // 3, 1)),
        }
        if policy not in factors:
            raise UsageError("train.optim.policy must be linear or step", value=policy)
        return LambdaLR(optimizer, factors[policy], last_epoch=last_step)


def _close(values: tuple[float, ...], others: tuple[float, ...]) -> bool:
    return all(abs(value - other) < 1e-4 for value, other in zip(values, others, strict=True))
