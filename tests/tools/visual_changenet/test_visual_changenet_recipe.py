"""What a training refuses before it reads data, by its key."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Compose
from deft.errors import UsageError
from deft.tools.visual_changenet.recipe import require_recipe, require_size, require_trainable


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train__optim__policy", "weird"),
        ("train__optim__optim", "lion"),
        ("train__optim__lr", -1),
        ("train__optim__lr", float("nan")),
        ("train__optim__weight_decay", -0.1),
        ("train__embedded__peak_lr", 0),
        ("train__embedded__warm_lr", float("inf")),
        ("train__classify__loss", "weird"),
        ("train__checkpoint_interval", 4),
        ("dataset__classify__num_golden", 3),
    ],
)
def test_a_value_that_no_training_can_have_is_refused_by_its_key_whatever_the_network(
    compose: Compose, key: str, value: Any
) -> None:
    for kind in ("deft_mid_fusion", "vit_small_dinov2"):
        with pytest.raises(UsageError, match=key.replace("__", ".")):
            require_recipe(compose(**{key: value, "model__backbone__type": kind}))


def test_weights_of_a_backbone_that_the_own_network_would_not_read_are_refused(compose: Compose) -> None:
    path = {"model__backbone__pretrained_backbone_path": "/models/dino.pth"}
    with pytest.raises(UsageError, match=r"pretrained_backbone_path is not read by[\s\S]*dino\.pth"):
        require_trainable(compose(**path))


@pytest.mark.parametrize("kind", ["nonsense", "fan_small_12_p4_hybrid"])
def test_a_backbone_that_does_not_run_here_is_refused(compose: Compose, kind: str) -> None:
    with pytest.raises(UsageError, match=rf"does not run on the embedded platform: {kind}"):
        require_trainable(compose(model__backbone__type=kind))


@pytest.mark.parametrize("side", ["image_width", "image_height"])
def test_images_that_the_patches_do_not_fill_are_refused_unless_weights_decide_the_patch(
    compose: Compose, side: str
) -> None:
    other = {"image_width": 28, "image_height": 28, side: 30}
    sizes: dict[str, Any] = {f"dataset__classify__{name}": value for name, value in other.items()}
    spec = {**sizes, "model__backbone__type": "vit_small_dinov2"}
    with pytest.raises(UsageError, match=rf"{side} must be a multiple of the patch \(14\): 30"):
        require_trainable(compose(**spec))
    require_trainable(compose(**spec, model__backbone__pretrained_backbone_path="/models/dino.pth"))
    require_size(compose(**sizes), 2)
