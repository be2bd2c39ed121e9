"""Pretrained backbones: which types run here, and how their published weights map onto the transformer.

Names and shapes follow the published checkpoints (original DINOv2, its Hugging Face conversion, C-RADIO).
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
    "c_radio_v2_vit_base_patch16_224": _radio(768, 12, 12),
    "c_radio_v2_vit_large_patch16_224": _radio(1024, 24, 16),
    "c_radio_v2_vit_huge_patch16_224": _radio(1280, 32, 16),
    "c_radio_p1_vit_huge_patch16_224_mlpnorm": _radio(1280, 32, 16),
    "c_radio_p2_vit_huge_patch16_224_mlpnorm": _radio(1280, 32, 16),
    "c_radio_p3_vit_huge_patch16_224_mlpnorm": _radio(1280, 32, 16),
}
PREFIXES = (
    *("state_dict.", "model.", "module.", "backbone."),
    *("radio_model.model.", "radio_model.", "teacher.", "dinov2."),
)

# Published name -> name in `vision_transformer`. Names of no rule are reported as unused.
_RENAMED = (
    (r"patch_embed\.proj\.(weight|bias)", r"patches.\1"),
    (r"embeddings\.patch_embeddings\.projection\.(weight|bias)", r"patches.\1"),
    (r"patch_generator\.embedder\.weight", r"patches.weight"),
    (r"(?:embeddings\.)?cls_token|patch_generator\.cls_token\.token", r"tokens.prefix"),
    (r"pos_embed|embeddings\.position_embeddings|patch_generator\.pos_embed", r"tokens.positions"),
    (r"(?:norm|layernorm)\.(weight|bias)", r"norm.\1"),
    (r"(?:blocks|encoder\.layer)\.(\d+)\.(norm[12])\.(weight|bias)", r"blocks.\1.\2.\3"),
    (r"blocks\.(\d+)\.attn\.(qkv|proj)\.(weight|bias)", r"blocks.\1.\2.\3"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(weight|bias)", r"blocks.\1.proj.\2"),
    (r"(?:blocks|encoder\.layer)\.(\d+)\.mlp\.(fc[12])\.(weight|bias)", r"blocks.\1.\2.\3"),
    (
        r"blocks\.(\d+)\.ls1\.gamma|encoder\.layer\.(\d+)\.layer_scale1\.lambda1",
        r"blocks.\1\2.scale.attention",
    ),
    (r"blocks\.(\d+)\.ls2\.gamma|encoder\.layer\.(\d+)\.layer_scale2\.lambda1", r"blocks.\1\2.scale.mlp"),
)
_QUERY = re.compile(r"encoder\.layer\.(\d+)\.attention\.attention\.query\.(weight|bias)")


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


def renamed(weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return published weights under this package's names, and the names that no rule knows."""
    import torch

    known: dict[str, Tensor] = {}
    unused = []
    stripped = {_without_prefix(name): value for name, value in weights.items()}
    for name, value in stripped.items():
        query = _QUERY.fullmatch(name)
        if query:
            parts = [stripped[name.replace(".query.", f".{part}.")] for part in ("query", "key", "value")]
            known[f"blocks.{query[1]}.qkv.{query[2]}"] = torch.cat(parts)
        elif not re.search(r"\.attention\.attention\.(key|value)\.", name):
            target = _target(name)
            if target:
                known[target] = value
            else:
                unused.append(name)
    return _in_shape(known), unused


def _without_prefix(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _target(name: str) -> str | None:
    for pattern, replacement in _RENAMED:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    return None


def _in_shape(known: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring tokens, positions and patches into one form; a class token's own position is added to it."""
    prefix, positions = known.get("tokens.prefix"), known.get("tokens.positions")
    if prefix is None or positions is None:
        raise InputRefused("backbone holds no class token or no positions: it is not DINOv2 or C-RADIO")
    prefix, positions = prefix.reshape(1, -1, prefix.shape[-1]), positions.reshape(1, -1, positions.shape[-1])
    if not _is_square(positions.shape[1]):
        prefix, positions = prefix + positions[:, :1], positions[:, 1:]
    grid = round(positions.shape[1] ** 0.5)
    patches = known["patches.weight"]
    if patches.ndim == 2:
        side = round((patches.shape[1] / 3) ** 0.5)
        patches = patches.reshape(-1, 3, side, side)
    square = positions.transpose(1, 2).unflatten(2, (grid, grid)).contiguous()
    return {**known, "tokens.prefix": prefix, "tokens.positions": square, "patches.weight": patches}


def _is_square(number: int) -> bool:
    return bool(round(number**0.5) ** 2 == number)


def shape_of(shape: TransformerShape, weights: dict[str, Tensor]) -> TransformerShape:
    """Return a type's shape with what its weights decide: patch, grid, tokens in front, biases, scales."""
    return replace(
        shape,
        patch=weights["patches.weight"].shape[-1],
        grid=weights["tokens.positions"].shape[-1],
        prefix=weights["tokens.prefix"].shape[1],
        patch_bias="patches.bias" in weights,
        layer_scale=any(name.endswith("scale.mlp") for name in weights),
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
