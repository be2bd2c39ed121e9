"""How published backbone weights are called, and their names and forms in `vision_transformer`.

Known are the original releases of DINOv2, DINOv3 and C-RADIO, and the conversions of DINOv2, DINOv3, SigLIP
and CLIP to transformers. A name of no rule is reported as unused.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from deft.errors import InputRefused

if TYPE_CHECKING:
    from torch import Tensor

PREFIXES = (
    *("state_dict.", "model.", "module.", "backbone."),
    *("radio_model.model.", "radio_model.", "teacher.", "dinov2.", "vision_model."),
)

_BLOCK = r"(?:blocks|encoder\.layers?|layer)\.(\d+)"
_RENAMED = (
    (r"(?:patch_embed\.proj|embeddings\.patch_embeddings\.projection)\.(weight|bias)", r"patches.\1"),
    (r"embeddings\.patch_embedd?ings?\.(weight|bias)", r"patches.\1"),
    (r"patch_generator\.embedder\.weight", r"patches.weight"),
    (r"(?:embeddings\.)?cls_token|patch_generator\.cls_token\.token", r"tokens.prefix"),
    (r"embeddings\.class_embedding", r"tokens.prefix"),
    (r"(?:embeddings\.)?register_tokens|storage_tokens", r"tokens.registers"),
    (r"pos_embed|embeddings\.position_embeddings|patch_generator\.pos_embed", r"tokens.positions"),
    (r"embeddings\.position_embedding\.weight", r"tokens.positions"),
    (r"(?:norm|layernorm|post_layernorm)\.(weight|bias)", r"norm.\1"),
    (r"pre_layrnorm\.(weight|bias)", r"input_norm.\1"),
    (_BLOCK + r"\.(?:norm|layer_norm)([12])\.(weight|bias)", r"blocks.\1.norm\2.\3"),
    (_BLOCK + r"\.attn\.(qkv|proj)\.(weight|bias)", r"blocks.\1.\2.\3"),
    (_BLOCK + r"\.attn\.qkv\.bias_mask", r"blocks.\1.qkv.bias_mask"),
    (_BLOCK + r"\.attention\.(?:output\.dense|o_proj)\.(weight|bias)", r"blocks.\1.proj.\2"),
    (_BLOCK + r"\.self_attn\.out_proj\.(weight|bias)", r"blocks.\1.proj.\2"),
    (_BLOCK + r"\.mlp\.(?:fc1|up_proj)\.(weight|bias)", r"blocks.\1.fc1.\2"),
    (_BLOCK + r"\.mlp\.(?:fc2|down_proj)\.(weight|bias)", r"blocks.\1.fc2.\2"),
    (_BLOCK + r"\.(?:ls1\.gamma|layer_scale1\.lambda1)", r"blocks.\1.scale.attention"),
    (_BLOCK + r"\.(?:ls2\.gamma|layer_scale2\.lambda1)", r"blocks.\1.scale.mlp"),
)
_APART = re.compile(
    _BLOCK
    + r"\.(?:attention\.attention\.(query|key|value)|(?:attention|self_attn)\.([qkv])_proj)\.(weight|bias)"
)
_OF_A_WHOLE_MODEL = re.compile(r"text_model\.|logit_(scale|bias)$|(visual|text)_projection\.")


def renamed(weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return published weights under this package's names, and the names that no rule knows.

    The text side of a two-tower model is neither. Raises InputRefused for weights of something else.
    """
    known: dict[str, Tensor] = {}
    unused: list[str] = []
    apart: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for published, value in weights.items():
        name = _without_prefix(published)
        part = _APART.fullmatch(name)
        target = _target(name)
        if part:
            number, word, letter, kind = part.groups()
            apart[f"blocks.{number}.qkv.{kind}"][word[0] if word else letter] = value
        elif target:
            known[target] = value
        elif not _OF_A_WHOLE_MODEL.match(name):
            unused.append(name)
    known.update({name: _together(parts) for name, parts in apart.items()})
    return _in_shape(_masked(known)), unused


def _without_prefix(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _target(name: str) -> str | None:
    for pattern, replacement in _RENAMED:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    return None


def _together(parts: dict[str, Tensor]) -> Tensor:
    """Return query, key and value as one; DINOv3's keys have no bias, which is one of zeros."""
    import torch

    nothing = torch.zeros_like(next(iter(parts.values())))
    return torch.cat([parts.get(letter, nothing) for letter in "qkv"])


def _masked(known: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with DINOv3's masks of biases carried out."""
    masks = [name for name in known if name.endswith("bias_mask")]
    for name in masks:
        bias, mask = name.removesuffix("_mask"), known.pop(name)
        known[bias] = known[bias].where(mask != 0, 0)
    return known


def _in_shape(known: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring tokens, positions and patches into one form; a class token's own position is added to it."""
    import torch

    if "patches.weight" not in known or not any(name.endswith("qkv.weight") for name in known):
        raise InputRefused(
            "backbone holds no patches or no attention: it is not DINOv2, DINOv3, C-RADIO, SigLIP or CLIP"
        )
    prefix, positions = known.get("tokens.prefix"), known.get("tokens.positions")
    shaped = dict(known)
    if prefix is not None:
        prefix = prefix.reshape(1, -1, prefix.shape[-1])
    if positions is not None:
        positions = positions.reshape(1, -1, positions.shape[-1])
        if prefix is not None and not _is_square(positions.shape[1]):
            prefix, positions = prefix + positions[:, :1], positions[:, 1:]
        grid = round(positions.shape[1] ** 0.5)
        shaped["tokens.positions"] = positions.transpose(1, 2).unflatten(2, (grid, grid)).contiguous()
    registers = shaped.pop("tokens.registers", None)
    if prefix is not None:
        shaped["tokens.prefix"] = prefix if registers is None else torch.cat([prefix, registers], dim=1)
    if known["patches.weight"].ndim == 2:
        side = round((known["patches.weight"].shape[1] / 3) ** 0.5)
        shaped["patches.weight"] = known["patches.weight"].reshape(-1, 3, side, side)
    return shaped


def _is_square(number: int) -> bool:
    return bool(round(number**0.5) ** 2 == number)
