"""A plain vision transformer that takes the weights of DINOv2, DINOv3, C-RADIOv2, SigLIP and CLIP.

All are pre-norm transformers over square patches. They differ in whether patches have a bias, whether blocks
scale their branches, how positions are given (a map that is resized, or DINOv3's rotations), in the
activation and in a norm before the blocks (CLIP). Tokens in front of the patches (class tokens, registers)
are one tensor here; the first stands for the whole image, and where there is none (SigLIP) the mean of the
patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

MLP_RATIO = 4
ROTARY_BASE = 100.0


@dataclass(frozen=True)
class TransformerShape:
    """Sizes of a transformer; `grid` is the side of its trained position map in patches.

    `hidden` is the width inside a block's second branch, 0 for four times the width.
    """

    width: int
    depth: int
    heads: int
    patch: int
    grid: int
    prefix: int = 1
    patch_bias: bool = True
    layer_scale: bool = True
    interpolation: str = "bicubic"
    antialias: bool = False
    hidden: int = 0
    activation: str = "gelu"
    epsilon: float = 1e-6
    rotary: bool = False
    input_norm: bool = False

    @property
    def weights(self) -> int:
        """How many weights it has, biases and norms (less than one in a hundred) left out."""
        blocks = self.depth * (4 * self.width**2 + 2 * self.width * (self.hidden or MLP_RATIO * self.width))
        positions = 0 if self.rotary else self.grid**2
        return blocks + (positions + 3 * self.patch**2) * self.width


def build_transformer(shape: TransformerShape) -> nn.ModuleDict:
    """Return the untrained transformer."""
    import torch
    from torch import nn

    tokens = {}
    if shape.prefix:
        tokens["prefix"] = nn.Parameter(0.02 * torch.randn(1, shape.prefix, shape.width))
    if not shape.rotary:
        tokens["positions"] = nn.Parameter(0.02 * torch.randn(1, shape.width, shape.grid, shape.grid))
    modules: dict[str, nn.Module] = {
        "tokens": nn.ParameterDict(tokens),
        "patches": nn.Conv2d(3, shape.width, shape.patch, shape.patch, bias=shape.patch_bias),
        "blocks": nn.ModuleList(_block(shape) for _ in range(shape.depth)),
        "norm": nn.LayerNorm(shape.width, shape.epsilon),
    }
    if shape.input_norm:
        modules["input_norm"] = nn.LayerNorm(shape.width, shape.epsilon)
    return nn.ModuleDict(modules)


def _block(shape: TransformerShape) -> nn.ModuleDict:
    import torch
    from torch import nn

    width, hidden = shape.width, shape.hidden or MLP_RATIO * shape.width
    modules: dict[str, nn.Module] = {
        "norm1": nn.LayerNorm(width, shape.epsilon),
        "qkv": nn.Linear(width, 3 * width),
        "proj": nn.Linear(width, width),
        "norm2": nn.LayerNorm(width, shape.epsilon),
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
    patches = network["patches"](images)
    rows, columns = patches.shape[2:]
    tokens = _tokens(network, shape, patches)
    rotation = _rotation(shape, (rows, columns)) if shape.rotary else None
    wanted = {shape.depth * (level + 1) // levels - 1 for level in range(levels)}
    maps = []
    for number, block in enumerate(network["blocks"]):
        tokens = _apply(block, shape, tokens, rotation)
        if number in wanted:
            normed = network["norm"](tokens)
            maps.append(normed[:, shape.prefix :].transpose(1, 2).unflatten(2, (rows, columns)))
    normed = network["norm"](tokens)
    return maps, normed[:, 0] if shape.prefix else normed.mean(1)


def _tokens(network: nn.ModuleDict, shape: TransformerShape, patches: Tensor) -> Tensor:
    import torch

    if not shape.rotary:
        patches = patches + _positions(network, shape, (patches.shape[2], patches.shape[3]))
    tokens = patches.flatten(2).transpose(1, 2)
    if shape.prefix:
        tokens = torch.cat([network["tokens"]["prefix"].expand(len(patches), -1, -1), tokens], dim=1)
    if shape.input_norm:
        tokens = network["input_norm"](tokens)
    return tokens


def _positions(network: nn.ModuleDict, shape: TransformerShape, size: tuple[int, int]) -> Tensor:
    from torch.nn import functional

    positions: Tensor = network["tokens"]["positions"]
    if size == (shape.grid, shape.grid):
        return positions
    options: dict[str, Any] = {"antialias": shape.antialias, "align_corners": False}
    return functional.interpolate(positions, size, mode=shape.interpolation, **options)


def _rotation(shape: TransformerShape, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of DINOv3's angles, each (patches, head width): rows and columns in [-1, 1]."""
    import torch

    head = shape.width // shape.heads
    centres = [2 * (torch.arange(count) + 0.5) / count - 1 for count in size]
    places = torch.stack(torch.meshgrid(*centres, indexing="ij"), dim=-1).flatten(0, 1)
    frequencies = ROTARY_BASE ** -torch.arange(0, 1, 4 / head)
    angles = (2 * torch.pi * places[:, :, None] * frequencies).flatten(1).tile(2)
    return angles.cos(), angles.sin()


def _rotated(tokens: Tensor, shape: TransformerShape, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the patches' part of queries or keys (n, heads, tokens, head width); tokens in front stay."""
    import torch

    front, patches = tokens[:, :, : shape.prefix], tokens[:, :, shape.prefix :]
    cosine, sine = (part.to(tokens.dtype).to(tokens.device) for part in rotation)
    one, other = patches.chunk(2, dim=-1)
    turned = patches * cosine + torch.cat([-other, one], dim=-1) * sine
    return torch.cat([front, turned], dim=2)


def _apply(
    block: nn.ModuleDict, shape: TransformerShape, tokens: Tensor, rotation: tuple[Tensor, Tensor] | None
) -> Tensor:
    from torch.nn import functional

    query, key, value = (
        block["qkv"](block["norm1"](tokens)).unflatten(2, (3, shape.heads, -1)).permute(2, 0, 3, 1, 4)
    )
    if rotation is not None:
        query, key = _rotated(query, shape, rotation), _rotated(key, shape, rotation)
    attended = functional.scaled_dot_product_attention(query, key, value)
    branch = block["proj"](attended.transpose(1, 2).flatten(2))
    tokens = tokens + (block["scale"]["attention"] * branch if shape.layer_scale else branch)
    branch = block["fc2"](_activated(block["fc1"](block["norm2"](tokens)), shape.activation))
    return tokens + (block["scale"]["mlp"] * branch if shape.layer_scale else branch)


def _activated(values: Tensor, activation: str) -> Tensor:
    from torch.nn import functional

    if activation == "quick_gelu":
        return values * (1.702 * values).sigmoid()
    return functional.gelu(values, approximate="tanh" if activation == "gelu_tanh" else "none")
