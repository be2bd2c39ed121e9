"""A plain vision transformer that takes the weights of DINOv2 and of C-RADIOv2.

Both are pre-norm transformers over square patches and differ in three things: whether patches have a bias,
whether blocks scale their branches, and how positions are resized. Tokens in front of the patches (class
tokens, registers) are one tensor here; the first of them stands for the whole image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

MLP_RATIO = 4
EPSILON = 1e-6


@dataclass(frozen=True)
class TransformerShape:
    """Sizes of a transformer; `grid` is the side of its trained position map in patches."""

    width: int
    depth: int
    heads: int
    patch: int
    grid: int
    prefix: int = 1
    patch_bias: bool = True
    layer_scale: bool = True
    interpolation: str = "bicubic"


def build_transformer(shape: TransformerShape) -> nn.ModuleDict:
    """Return the untrained transformer."""
    import torch
    from torch import nn

    tokens = {
        "prefix": nn.Parameter(0.02 * torch.randn(1, shape.prefix, shape.width)),
        "positions": nn.Parameter(0.02 * torch.randn(1, shape.width, shape.grid, shape.grid)),
    }
    return nn.ModuleDict(
        {
            "tokens": nn.ParameterDict(tokens),
            "patches": nn.Conv2d(3, shape.width, shape.patch, shape.patch, bias=shape.patch_bias),
            "blocks": nn.ModuleList(_block(shape) for _ in range(shape.depth)),
            "norm": nn.LayerNorm(shape.width, EPSILON),
        }
    )


def _block(shape: TransformerShape) -> nn.ModuleDict:
    import torch
    from torch import nn

    width, hidden = shape.width, MLP_RATIO * shape.width
    modules: dict[str, nn.Module] = {
        "norm1": nn.LayerNorm(width, EPSILON),
        "qkv": nn.Linear(width, 3 * width),
        "proj": nn.Linear(width, width),
        "norm2": nn.LayerNorm(width, EPSILON),
        "fc1": nn.Linear(width, hidden),
        "fc2": nn.Linear(hidden, width),
    }
    if shape.layer_scale:
        scales = {name: nn.Parameter(torch.ones(width)) for name in ("attention", "mlp")}
        modules["scale"] = nn.ParameterDict(scales)
    return nn.ModuleDict(modules)


def transformer_features(
    network: nn.ModuleDict, shape: TransformerShape, images: Tensor, levels: int
) -> tuple[list[Tensor], Tensor]:
    """Return patch maps of `levels` evenly spaced blocks, and the summary of each image (n, width).

    A map is (n, width, rows, columns). Images are (n, 3, height, width), both sides multiples of the patch.
    """
    import torch

    patches = network["patches"](images)
    rows, columns = patches.shape[2:]
    placed = patches + _positions(network, shape, (rows, columns))
    prefix = network["tokens"]["prefix"].expand(len(images), -1, -1)
    tokens = torch.cat([prefix, placed.flatten(2).transpose(1, 2)], dim=1)
    wanted = {shape.depth * (level + 1) // levels - 1 for level in range(levels)}
    maps = []
    for number, block in enumerate(network["blocks"]):
        tokens = _apply(block, shape, tokens)
        if number in wanted:
            normed = network["norm"](tokens)
            maps.append(normed[:, shape.prefix :].transpose(1, 2).unflatten(2, (rows, columns)))
    return maps, network["norm"](tokens)[:, 0]


def _positions(network: nn.ModuleDict, shape: TransformerShape, size: tuple[int, int]) -> Tensor:
    from torch.nn import functional

    positions: Tensor = network["tokens"]["positions"]
    if size == (shape.grid, shape.grid):
        return positions
    return functional.interpolate(positions, size, mode=shape.interpolation, align_corners=False)


def _apply(block: nn.ModuleDict, shape: TransformerShape, tokens: Tensor) -> Tensor:
    from torch.nn import functional

    query, key, value = (
        block["qkv"](block["norm1"](tokens)).unflatten(2, (3, shape.heads, -1)).permute(2, 0, 3, 1, 4)
    )
    attended = functional.scaled_dot_product_attention(query, key, value)
    branch = block["proj"](attended.transpose(1, 2).flatten(2))
    tokens = tokens + (block["scale"]["attention"] * branch if shape.layer_scale else branch)
    branch = block["fc2"](functional.gelu(block["fc1"](block["norm2"](tokens))))
    return tokens + (block["scale"]["mlp"] * branch if shape.layer_scale else branch)
