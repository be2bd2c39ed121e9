from __future__ import annotations

import pytest
import torch

from deft.tools.visual_changenet.backbones import TRANSFORMERS
from deft.tools.visual_changenet.vision_transformer import (
    TransformerShape,
    build_transformer,
    transformer_features,
)

SHAPE = TransformerShape(width=16, depth=4, heads=2, patch=8, grid=3, prefix=2)


def test_features_are_maps_of_evenly_spaced_blocks_and_one_summary() -> None:
    network = build_transformer(SHAPE).eval()
    maps, summary = transformer_features(network, SHAPE, torch.rand(5, 3, 24, 40), levels=2)
    assert [tuple(level.shape) for level in maps] == [(5, 16, 3, 5)] * 2
    assert summary.shape == (5, 16)
    last, _ = transformer_features(network, SHAPE, torch.rand(5, 3, 24, 40), levels=1)
    assert len(last) == 1


def test_a_patch_knows_where_it_stands() -> None:
    torch.manual_seed(0)
    network = build_transformer(SHAPE).eval()
    image = torch.rand(1, 3, 24, 24)
    here, _ = transformer_features(network, SHAPE, image, levels=1)
    there, _ = transformer_features(network, SHAPE, image.roll(8, -1), levels=1)
    assert not torch.allclose(here[0].roll(1, -1), there[0], atol=1e-4)


@pytest.mark.parametrize("layer_scale", [True, False])
def test_blocks_scale_their_branches_only_where_the_backbone_does(layer_scale: bool) -> None:
    shape = TransformerShape(16, 1, 2, 8, 3, layer_scale=layer_scale)
    names = build_transformer(shape).state_dict()
    assert ("blocks.0.scale.mlp" in names) == layer_scale


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_the_weights_of_a_shape_are_counted_without_building_it(kind: str) -> None:
    with torch.device("meta"):
        built = build_transformer(TRANSFORMERS[kind])
    counted = sum(part.numel() for part in built.parameters())
    assert TRANSFORMERS[kind].weights == pytest.approx(counted, rel=0.01)
