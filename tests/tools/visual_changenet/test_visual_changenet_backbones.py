from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model

from deft.errors import EnvironmentMissing, InputRefused, UsageError
from deft.tools.visual_changenet import backbones
from deft.tools.visual_changenet.backbone_names import renamed
from deft.tools.visual_changenet.backbones import (
    TRANSFORMERS,
    load_backbone,
    read_backbone,
    require_transformer,
    shape_of,
)
from deft.tools.visual_changenet.vision_transformer import (
    TransformerShape,
    build_transformer,
    transformer_features,
)

START = TransformerShape(width=32, depth=2, heads=2, patch=14, grid=16)


@pytest.fixture
def dinov2(tmp_path: Path) -> tuple[Dinov2Model, Path]:
    """A tiny random DINOv2 and its weights as a file under the published names."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = Dinov2Model(Dinov2Config(**sizes, image_size=42, patch_size=14, layerscale_value=0.5)).eval()
    model.save_pretrained(tmp_path)
    return model, tmp_path / "model.safetensors"


@pytest.mark.parametrize("side", [42, 70])
def test_a_dinov2_of_transformers_gives_the_same_features(
    dinov2: tuple[Dinov2Model, Path], side: int
) -> None:
    model, path = dinov2
    weights, unused = renamed(read_backbone(str(path)))
    shape = shape_of(START, weights)
    network = build_transformer(shape).eval()
    report = load_backbone(network, weights, unused)
    images = torch.rand(2, 3, side, side)
    with torch.inference_mode():
        maps, summary = transformer_features(network, shape, images, levels=1)
        expected = model(images)
    torch.testing.assert_close(summary, expected.pooler_output, atol=1e-4, rtol=1e-4)
    patches = expected.last_hidden_state[:, 1:].transpose(1, 2).flatten()
    torch.testing.assert_close(maps[0].flatten(), patches, atol=1e-4, rtol=1e-4)
    assert report.unused == ("embeddings.mask_token",)


def original_names(width: int = 32, depth: int = 2) -> dict[str, Tensor]:
    """Weights under the names of DINOv2's own release."""
    weights = {
        "cls_token": torch.randn(1, 1, width),
        "pos_embed": torch.randn(1, 10, width),
        "patch_embed.proj.weight": torch.randn(width, 3, 14, 14),
        "patch_embed.proj.bias": torch.randn(width),
        "norm.weight": torch.ones(width),
        "norm.bias": torch.zeros(width),
        "mask_token": torch.zeros(1, width),
    }
    for i in range(depth):
        for name, shape in (
            ("norm1", (width,)),
            ("attn.qkv", (3 * width, width)),
            ("attn.proj", (width, width)),
            ("norm2", (width,)),
            ("mlp.fc1", (4 * width, width)),
            ("mlp.fc2", (width, 4 * width)),
        ):
            weights[f"blocks.{i}.{name}.weight"] = torch.randn(shape)
            weights[f"blocks.{i}.{name}.bias"] = torch.randn(shape[0])
        for scale in ("ls1", "ls2"):
            weights[f"blocks.{i}.{scale}.gamma"] = torch.randn(width)
    return weights


def radio_names(width: int = 32, depth: int = 2) -> dict[str, Tensor]:
    """Weights under the names of a C-RADIO release."""
    weights = {
        f"radio_model.model.{name}": value
        for name, value in original_names(width, depth).items()
        if name.startswith(("blocks", "norm")) and ".ls" not in name
    }
    generator = "radio_model.model.patch_generator"
    weights[f"{generator}.embedder.weight"] = torch.randn(width, 3 * 16 * 16)
    weights[f"{generator}.pos_embed"] = torch.randn(1, 64, width)
    weights[f"{generator}.cls_token.token"] = torch.randn(8, width)
    weights["radio_model.input_conditioner.norm_mean"] = torch.zeros(3, 1, 1)
    return weights


def test_the_class_token_of_dinov2_takes_its_position_along() -> None:
    published = original_names()
    weights, unused = renamed(published)
    assert torch.equal(weights["tokens.prefix"], published["cls_token"] + published["pos_embed"][:, :1])
    assert weights["tokens.positions"].shape == (1, 32, 3, 3)
    assert unused == ["mask_token"]
    shape = shape_of(START, weights)
    assert not load_backbone(build_transformer(shape), weights, unused).missing


def test_c_radio_brings_its_registers_and_flat_patches() -> None:
    published = radio_names()
    weights, unused = renamed(published)
    shape = shape_of(START, weights)
    assert (shape.patch, shape.grid, shape.prefix) == (16, 8, 8)
    assert not shape.layer_scale
    assert not shape.patch_bias
    flat = published["radio_model.model.patch_generator.embedder.weight"]
    assert torch.equal(weights["patches.weight"].flatten(1), flat)
    load_backbone(build_transformer(shape), weights, unused)
    assert unused == ["input_conditioner.norm_mean"]


def test_a_load_reports_what_matched_and_what_was_not_used(capsys: pytest.CaptureFixture[str]) -> None:
    weights, unused = renamed(original_names())
    load_backbone(build_transformer(shape_of(START, weights)), weights, unused)
    assert "Backbone: 34 tensors loaded; 0 missing; 1 not used (mask_token)" in capsys.readouterr().out


def test_a_backbone_that_leaves_blocks_at_random_is_refused() -> None:
    weights, unused = renamed(original_names(depth=1))
    with pytest.raises(InputRefused, match=r"lacks tensors[\s\S]*blocks\.1"):
        load_backbone(build_transformer(shape_of(START, weights)), weights, unused)


def test_a_backbone_of_another_width_is_refused() -> None:
    weights, unused = renamed(original_names(width=48))
    with pytest.raises(InputRefused, match=r"does not fit model\.backbone\.type"):
        load_backbone(build_transformer(shape_of(START, weights)), weights, unused)


def test_weights_of_something_else_are_refused() -> None:
    with pytest.raises(InputRefused, match="not DINOv2, DINOv3, C-RADIO, SigLIP or CLIP"):
        renamed({"layer1.weight": torch.zeros(1)})


def test_weights_are_read_from_safetensors_and_from_pth(tmp_path: Path) -> None:
    weights = {"norm.weight": torch.arange(3.0)}
    save_file(weights, tmp_path / "a.safetensors")
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "a.pth")
    torch.save(weights, tmp_path / "bare.pth")
    for name in ("a.safetensors", "a.pth", "bare.pth"):
        assert torch.equal(read_backbone(str(tmp_path / name))["norm.weight"], weights["norm.weight"])


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    for name in ("a.safetensors", "a.pth"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(InputRefused, match=f"cannot be read[\\s\\S]*{name}"):
            read_backbone(str(tmp_path / name))


def test_a_path_that_is_not_there_is_not_taken_for_a_hub_id() -> None:
    with pytest.raises(InputRefused, match=r"pretrained_backbone_path does not exist"):
        read_backbone("/nowhere/backbone.safetensors")


def test_a_hub_that_cannot_be_reached_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def offline(*_: object) -> str:
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(EnvironmentMissing, match="pretrained_backbone_path"):
        read_backbone("owner/name")


def test_a_hub_id_is_downloaded_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    save_file({"norm.weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    asked = []
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda *ask: asked.append(ask) or tmp_path / "model.safetensors"
    )
    assert "norm.weight" in read_backbone("owner/name")
    assert asked == [("owner/name", "model.safetensors")]


def test_types_of_other_families_are_refused_with_the_alternatives() -> None:
    with pytest.raises(UsageError, match=r"model\.backbone\.type[\s\S]*deft_mid_fusion[\s\S]*c_radio_v2"):
        require_transformer("fan_small_12_p4_hybrid")
    assert all(shape.width % shape.heads == 0 for shape in TRANSFORMERS.values())
    assert backbones.require_transformer("vit_large_nvdinov2").width == 1024
