"""Pretrained backbones: which types run here, and how their weights are read and loaded.

What matched, what is missing and what was not used is reported at every load, because a backbone that
silently starts from noise looks like a hard data set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deft.embedding.pair_network import read_tensors
from deft.embedding.weight_files import require_plain_safetensors
from deft.errors import EnvironmentMissing, InputRefused, UsageError
from deft.tools.output import say
from deft.tools.visual_changenet.vision_transformer import TransformerShape

if TYPE_CHECKING:
    from torch import Tensor, nn


def _dinov2(width: int, depth: int, heads: int) -> TransformerShape:
    return TransformerShape(width, depth, heads, patch=14, grid=37)


def _dinov3(width: int, depth: int, heads: int) -> TransformerShape:
    return TransformerShape(width, depth, heads, patch=16, grid=14, prefix=5, rotary=True, epsilon=1e-5)


def _siglip(width: int, depth: int, heads: int, patch: int, hidden: int = 0) -> TransformerShape:
    shape = TransformerShape(width, depth, heads, patch, grid=224 // patch, prefix=0, layer_scale=False)
    return replace(shape, activation="gelu_tanh", hidden=hidden)


def _clip(width: int, depth: int, heads: int, patch: int) -> TransformerShape:
    shape = TransformerShape(width, depth, heads, patch, grid=224 // patch, patch_bias=False)
    return replace(shape, layer_scale=False, activation="quick_gelu", epsilon=1e-5, input_norm=True)


def _radio(width: int, depth: int, heads: int) -> TransformerShape:
    return TransformerShape(
        *(width, depth, heads),
        patch=16,
        grid=128,
        prefix=8,
        patch_bias=False,
        layer_scale=False,
        interpolation="bilinear",
    )


TRANSFORMERS: dict[str, TransformerShape] = {
    "vit_small_dinov2": _dinov2(384, 12, 6),
    "vit_base_dinov2": _dinov2(768, 12, 12),
    "vit_large_nvdinov2": _dinov2(1024, 24, 16),
    "vit_small_dinov3": _dinov3(384, 12, 6),
    "vit_base_dinov3": _dinov3(768, 12, 12),
    "vit_large_dinov3": _dinov3(1024, 24, 16),
    "vit_base_siglip": _siglip(768, 12, 12, patch=16),
    "vit_large_siglip": _siglip(1024, 24, 16, patch=16),
    "vit_so400m_siglip": _siglip(1152, 27, 16, patch=14, hidden=4304),
    "vit_base_clip": _clip(768, 12, 12, patch=32),
    "vit_large_clip": _clip(1024, 24, 16, patch=14),
    "c_radio_v2_vit_base_patch16_224": _radio(768, 12, 12),
    "c_radio_v2_vit_large_patch16_224": _radio(1024, 24, 16),
    "c_radio_v2_vit_huge_patch16_224": _radio(1280, 32, 16),
    "c_radio_p1_vit_huge_patch16_224_mlpnorm": _radio(1280, 32, 16),
    "c_radio_p2_vit_huge_patch16_224_mlpnorm": _radio(1280, 32, 16),
    "c_radio_p3_vit_huge_patch16_224_mlpnorm": _radio(1280, 32, 16),
}


@dataclass(frozen=True)
class LoadReport:
    """Which tensors of a backbone were taken, were not there, or were not used."""

    matched: int
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.matched} tensors loaded"]
        for word, names in (("missing", self.missing), ("not used", self.unused)):
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            parts.append(f"{len(names)} {word}" + (f" ({shown})" if names else ""))
        return "; ".join(parts)


def require_transformer(kind: str) -> TransformerShape:
    """Return the shape of a backbone type; another type is refused by the key and the alternatives."""
    if kind not in TRANSFORMERS:
        raise UsageError(
            "model.backbone.type does not run on the embedded platform",
            value=kind,
            hint=f"deft_mid_fusion, {', '.join(sorted(TRANSFORMERS))}; others: --platform docker",
        )
    return TRANSFORMERS[kind]


def read_backbone(source: str) -> dict[str, Tensor]:
    """Read backbone weights from a local .safetensors or .pth file, or by a Hugging Face hub id."""
    path = Path(source)
    if not path.is_file():
        path = _download(source)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        require_plain_safetensors(path)
        try:
            return dict(load_file(path))
        except SafetensorError as error:
            raise InputRefused(f"backbone cannot be read ({error})", value=path) from None
    record = read_tensors(path)
    nested = record.get("state_dict", record.get("model", record))
    return {name: value for name, value in nested.items() if hasattr(value, "shape")}


def _download(source: str) -> Path:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        raise InputRefused("model.backbone.pretrained_backbone_path does not exist", value=source)
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(source, "model.safetensors"))
    except (OSError, ValueError) as error:
        raise EnvironmentMissing(
            f"backbone is neither a file nor downloadable ({type(error).__name__})",
            value=source,
            hint="download model.safetensors elsewhere and name the file in pretrained_backbone_path",
        ) from None


def shape_of(shape: TransformerShape, weights: dict[str, Tensor]) -> TransformerShape:
    """Return a type's shape with what its weights decide: patch, grid, tokens in front, biases, scales."""
    prefix, positions = weights.get("tokens.prefix"), weights.get("tokens.positions")
    tokens = 0 if prefix is None else prefix.shape[1]
    return replace(
        shape,
        patch=weights["patches.weight"].shape[-1],
        grid=shape.grid if positions is None else positions.shape[-1],
        prefix=tokens,
        antialias=tokens > 1 and shape.interpolation == "bicubic",  # DINOv2 with registers was made so
        patch_bias="patches.bias" in weights,
        layer_scale=any(name.endswith("scale.mlp") for name in weights),
        hidden=weights["blocks.0.fc1.bias"].shape[0] if "blocks.0.fc1.bias" in weights else shape.hidden,
        input_norm="input_norm.weight" in weights,
    )


def load_backbone(network: nn.Module, weights: dict[str, Tensor], unused: list[str]) -> LoadReport:
    """Copy weights into a transformer, say what matched, and refuse a load that left it mostly at random."""
    try:
        outcome = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise InputRefused(f"backbone does not fit model.backbone.type ({reason})") from None
    report = LoadReport(
        len(weights) - len(outcome.unexpected_keys),
        tuple(outcome.missing_keys),
        (*unused, *outcome.unexpected_keys),
    )
    say(f"Backbone: {report}")
    if report.missing:
        raise InputRefused(
            "backbone lacks tensors that model.backbone.type needs", value=", ".join(report.missing[:5])
        )
    return report
