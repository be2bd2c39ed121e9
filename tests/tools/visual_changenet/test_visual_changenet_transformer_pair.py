from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import DictConfig

from deft.embedding.pair_network import read_checkpoint
from deft.errors import InputRefused, UsageError
from deft.tools.visual_changenet import backbones
from deft.tools.visual_changenet.checkpoint import LATEST
from deft.tools.visual_changenet.predict import inference
from deft.tools.visual_changenet.train import train
from deft.tools.visual_changenet.transformer_pair import TransformerPair
from deft.tools.visual_changenet.vision_transformer import TransformerShape, build_transformer

Compose = Callable[..., DictConfig]
TINY = TransformerShape(width=16, depth=2, heads=2, patch=8, grid=4)
EUCLIDEAN: dict[str, Any] = {"model__backbone__type": "vit_tiny", "train__num_epochs": 2}
LEARNABLE: dict[str, Any] = {
    **EUCLIDEAN,
    "model__classify__difference_module": "learnable",
    "model__classify__learnable_difference_modules": 2,
    "train__classify__loss": "ce",
}


@pytest.fixture(autouse=True)
def tiny_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backbones.TRANSFORMERS, "vit_tiny", TINY)


@pytest.mark.parametrize("spec", [EUCLIDEAN, LEARNABLE], ids=["euclidean", "learnable"])
def test_a_transformer_trains_resumes_and_scores_by_the_same_commands(
    compose: Compose, tmp_path: Path, spec: dict[str, Any]
) -> None:
    train(compose(**{**spec, "train__num_epochs": 1}))
    train(compose(**spec))
    checkpoint = tmp_path / "results" / "train" / LATEST
    assert checkpoint.readlink() == Path("model_epoch_001_step_00006.pth")
    inference(compose(**spec, inference__checkpoint=str(checkpoint)))
    scores = pd.read_csv(tmp_path / "results" / "inference" / "inference.csv")["siamese_score"]
    assert len(scores) == 18
    assert scores.min() >= 0
    assert scores.nunique() > 1
    assert (scores.max() <= 1) or spec is EUCLIDEAN


def test_the_same_spec_trains_a_transformer_to_the_same_bytes(compose: Compose, tmp_path: Path) -> None:
    for name in ("a", "b"):
        train(compose(tmp_path / name, **LEARNABLE))
    first, second = ((tmp_path / name / "train" / LATEST).read_bytes() for name in ("a", "b"))
    assert first == second


def test_a_frozen_backbone_keeps_its_pretrained_weights(compose: Compose, tmp_path: Path) -> None:
    torch.manual_seed(7)
    pretrained = build_transformer(TINY)
    weights = {
        "cls_token": torch.randn(1, 1, 16),
        "pos_embed": torch.randn(1, 17, 16),
        "patch_embed.proj.weight": pretrained["patches"].weight,
        "patch_embed.proj.bias": pretrained["patches"].bias,
    }
    for name, value in pretrained.state_dict().items():
        for own, published in ((".qkv.", ".attn.qkv."), (".proj.", ".attn.proj."), (".fc", ".mlp.fc")):
            name = name.replace(own, published)
        name = name.replace("scale.attention", "ls1.gamma").replace("scale.mlp", "ls2.gamma")
        if name.startswith(("blocks", "norm")):
            weights[name] = value
    torch.save(weights, tmp_path / "backbone.pth")
    spec = {
        **LEARNABLE,
        "model__backbone__pretrained_backbone_path": str(tmp_path / "backbone.pth"),
        "model__backbone__freeze_backbone": True,
    }
    train(compose(**spec))
    trained = read_checkpoint(tmp_path / "results" / "train" / LATEST)["state_dict"]
    kept = trained["backbone.blocks.1.qkv.weight"]
    assert torch.equal(kept, pretrained["blocks"][1]["qkv"].weight)
    (tmp_path / "backbone.pth").unlink()
    inference(compose(**spec, inference__checkpoint=str(tmp_path / "results" / "train" / LATEST)))


def test_the_contrastive_loss_pulls_good_pairs_together_and_defects_to_the_margin(compose: Compose) -> None:
    """Each distance counts against its own label alone (difference: contrastive-shapes)."""
    engine = TransformerPair(compose(**EUCLIDEAN))
    distances, target = torch.tensor([0.5, 1.5, 3.0]), torch.tensor([0.0, 1.0, 1.0])
    assert float(engine.loss(distances, target)) == pytest.approx((0.25 + 0.25 + 0) / 3)


def test_the_cross_entropy_weighs_defects(compose: Compose) -> None:
    engine = TransformerPair(compose(**LEARNABLE))
    logits, target = torch.tensor([0.0, 2.0]), torch.tensor([0.0, 1.0])
    expected = (1 * np.log(2) + 10 * np.log1p(np.exp(-2))) / 11
    assert float(engine.loss(logits, target)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "mean", "deviation"),
    [
        ("c_radio_v2_vit_base_patch16_224", 0.48145466, 0.26862954),
        ("vit_base_clip", 0.48145466, 0.26862954),
        ("vit_base_siglip", 0.5, 0.5),
        ("vit_base_dinov3", 0.485, 0.229),
    ],
)
def test_a_backbone_takes_the_normalisation_it_was_trained_with(
    compose: Compose, kind: str, mean: float, deviation: float
) -> None:
    image = torch.full((1, 3, 2, 2), 0.25)
    pair = TransformerPair(compose(**{**LEARNABLE, "model__backbone__type": kind}))
    assert pair._normalised(image)[0, 0, 0, 0] == pytest.approx((0.25 - mean) / deviation)


def test_the_rate_falls_linearly_by_epochs(compose: Compose) -> None:
    engine = TransformerPair(compose(**EUCLIDEAN))
    optimizer = engine.optimizer(engine.build(pretrained=False), warm=False)
    schedule = engine.schedule(optimizer, 6, 3, -1)
    rates = []
    for _ in range(6):
        rates.append(schedule.get_last_lr()[0] / 1e-4)
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([1, 1, 1, 2 / 3, 2 / 3, 2 / 3])


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_the_optimiser_is_the_specs(compose: Compose, name: str) -> None:
    engine = TransformerPair(compose(**EUCLIDEAN, train__optim__optim=name))
    assert type(engine.optimizer(engine.build(pretrained=False), warm=False)).__name__.lower() == name


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train__classify__loss", "ce", "do not belong together"),
        ("model__classify__difference_module", "learnable", "do not belong together"),
        ("model__backbone__freeze_backbone", True, "freeze_backbone needs"),
        ("dataset__classify__image_width", 36, r"multiple of the patch \(8\)"),
        ("train__optim__optim", "lion", "adamw, adam or sgd"),
        ("train__optim__policy", "cosine", "linear or step"),
    ],
)
def test_a_transformers_spec_that_contradicts_itself_is_refused(
    compose: Compose, key: str, value: object, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train(compose(**{**EUCLIDEAN, key: value}))


def test_a_checkpoint_of_another_comparison_is_refused(compose: Compose, tmp_path: Path) -> None:
    train(compose(**EUCLIDEAN))
    checkpoint = str(tmp_path / "results" / "train" / LATEST)
    with pytest.raises(InputRefused, match="difference_module=euclidean, the spec says learnable"):
        inference(compose(**LEARNABLE, inference__checkpoint=checkpoint))
