"""Backbones under their published names give the features that their own implementation gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from deft.tools.visual_changenet.backbone_names import renamed
from deft.tools.visual_changenet.backbones import (
    TRANSFORMERS,
    LoadReport,
    load_backbone,
    read_backbone,
    shape_of,
)
from deft.tools.visual_changenet.vision_transformer import build_transformer, transformer_features

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 80}
TEXT = {**SIZES, "vocab_size": 8, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def features(kind: str, source: Path, images: Tensor) -> tuple[Tensor, Tensor, LoadReport]:
    """Load a published file as a type shrunk to its sizes; return patches (n, patches, width) and summary."""
    weights, unused = renamed(read_backbone(str(source)))
    shape = shape_of(replace(TRANSFORMERS[kind], width=32, depth=2, heads=2), weights)
    network = build_transformer(shape).eval()
    report = load_backbone(network, weights, unused)
    with torch.inference_mode():
        maps, summary = transformer_features(network, shape, images, levels=1)
    return maps[0].flatten(2).transpose(1, 2), summary, report


def shaken(model: Any) -> Any:
    """Return a model whose weights are all away from 0 and 1, so that none can be left out unseen."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def published(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder / "model.safetensors"


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("side", [32, 48])
@pytest.mark.parametrize("registers", [0, 4])
def test_a_dinov3_gives_its_own_features(registers: int, side: int, tmp_path: Path) -> None:
    config = DINOv3ViTConfig(**SIZES, patch_size=16, image_size=32, num_register_tokens=registers)
    model, images = shaken(DINOv3ViTModel(config)), torch.rand(2, 3, side, side + 16)
    patches, summary, report = features("vit_base_dinov3", published(model, tmp_path), images)
    with torch.inference_mode():
        expected = model(images)
    close(summary, expected.pooler_output)
    close(patches, expected.last_hidden_state[:, 1 + registers :])
    assert report.unused == ("embeddings.mask_token",)


@pytest.mark.parametrize("side", [42, 70])
def test_a_dinov2_with_registers_gives_its_own_features(side: int, tmp_path: Path) -> None:
    sizes = {name: value for name, value in SIZES.items() if name != "intermediate_size"}
    config = Dinov2WithRegistersConfig(**sizes, image_size=42, patch_size=14, num_register_tokens=4)
    model, images = shaken(Dinov2WithRegistersModel(config)), torch.rand(2, 3, side, side)
    patches, summary, _ = features("vit_base_dinov2", published(model, tmp_path), images)
    with torch.inference_mode():
        expected = model(images)
    close(summary, expected.pooler_output)
    close(patches, expected.last_hidden_state[:, 5:])


@pytest.mark.parametrize("side", [32, 48])
@pytest.mark.parametrize("whole", [False, True])
def test_a_siglip_vision_tower_gives_its_own_features(whole: bool, side: int, tmp_path: Path) -> None:
    vision = {**SIZES, "image_size": 32, "patch_size": 8}
    if whole:
        model = shaken(SiglipModel(SiglipConfig(text_config=TEXT, vision_config=vision)))
    else:
        model = shaken(SiglipVisionModel(SiglipVisionConfig(**vision)))
    images = torch.rand(2, 3, side, side)
    patches, summary, report = features("vit_base_siglip", published(model, tmp_path), images)
    with torch.inference_mode():
        expected = getattr(model, "vision_model", model)(images, interpolate_pos_encoding=True)
    close(patches, expected.last_hidden_state)
    close(summary, expected.last_hidden_state.mean(1))  # its own attention pooling is not taken over
    assert report.unused
    assert all(name.startswith("head.") for name in report.unused)


@pytest.mark.parametrize("side", [32, 48])
@pytest.mark.parametrize("whole", [False, True])
def test_a_clip_vision_tower_gives_its_own_features(whole: bool, side: int, tmp_path: Path) -> None:
    vision = {**SIZES, "image_size": 32, "patch_size": 8}
    if whole:
        model = shaken(CLIPModel(CLIPConfig(text_config=TEXT, vision_config=vision, projection_dim=8)))
    else:
        model = shaken(CLIPVisionModel(CLIPVisionConfig(**vision)))
    images = torch.rand(2, 3, side, side)
    _, summary, report = features("vit_base_clip", published(model, tmp_path), images)
    with torch.inference_mode():
        expected = getattr(model, "vision_model", model)(images, interpolate_pos_encoding=True)
    close(summary, expected.pooler_output)
    assert {name.split(".")[-1] for name in report.unused} <= {"position_ids"}


def test_dinov3s_own_release_brings_registers_and_masked_biases() -> None:
    width = 32
    weights = {
        "cls_token": torch.randn(1, 1, 32),
        "storage_tokens": torch.randn(1, 4, 32),
        "mask_token": torch.zeros(1, 32),
        "rope_embed.periods": torch.ones(4),
        "patch_embed.proj.weight": torch.randn(width, 3, 16, 16),
        "patch_embed.proj.bias": torch.randn(width),
        "blocks.0.attn.qkv.weight": torch.randn(3 * width, width),
        "blocks.0.attn.qkv.bias": torch.randn(3 * width),
        "blocks.0.attn.qkv.bias_mask": torch.cat([torch.ones(32), torch.zeros(32), torch.ones(32)]),
    }
    found, unused = renamed(weights)
    assert found["tokens.prefix"].shape == (1, 5, width)
    assert not found["blocks.0.qkv.bias"][width : 2 * width].any()
    assert torch.equal(found["blocks.0.qkv.bias"][:width], weights["blocks.0.attn.qkv.bias"][:width])
    assert unused == ["mask_token", "rope_embed.periods"]


def test_c_radio_in_its_published_configuration_shrunk_resizes_positions_bilinearly() -> None:
    """Patches of 16 by a flat embedder without bias, 8 tokens in front, positions on 128 x 128."""
    shape = replace(TRANSFORMERS["c_radio_v2_vit_base_patch16_224"], width=32, depth=2, heads=2)
    assert (shape.patch, shape.grid, shape.prefix, shape.interpolation) == (16, 128, 8, "bilinear")
    generator = "radio_model.model.patch_generator"
    weights = {
        f"{generator}.embedder.weight": torch.randn(32, 3 * 16 * 16),
        f"{generator}.pos_embed": torch.randn(1, 128 * 128, 32),
        f"{generator}.cls_token.token": torch.randn(8, 32),
        "radio_model.model.norm.weight": torch.rand(32),
        "radio_model.model.norm.bias": torch.rand(32),
    }
    for block in ("0", "1"):
        for name, sizes in (("norm1", (32,)), ("norm2", (32,))):
            weights[f"radio_model.model.blocks.{block}.{name}.weight"] = torch.rand(*sizes)
            weights[f"radio_model.model.blocks.{block}.{name}.bias"] = torch.rand(*sizes)
        for name, rows, columns in (
            ("attn.qkv", 96, 32),
            ("attn.proj", 32, 32),
            ("mlp.fc1", 128, 32),
            ("mlp.fc2", 32, 128),
        ):
            weights[f"radio_model.model.blocks.{block}.{name}.weight"] = 0.1 * torch.randn(rows, columns)
            weights[f"radio_model.model.blocks.{block}.{name}.bias"] = 0.1 * torch.randn(rows)
    found, unused = renamed(weights)
    network = build_transformer(shape_of(shape, found)).eval()
    assert not load_backbone(network, found, unused).missing
    with torch.inference_mode():
        maps, summary = transformer_features(network, shape, torch.rand(1, 3, 224, 224), levels=1)
    assert maps[0].shape == (1, 32, 14, 14)
    assert summary.shape == (1, 32)
