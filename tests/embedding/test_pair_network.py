from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deft.embedding.pair_network import (
    PairNetworkSettings,
    appearance_embedding,
    build_pair_network,
    fold_batch_norms,
    load_pair_network,
    pair_embedding,
    pair_logits,
    pooled_comparison,
    standardise,
    to_batch,
)
from deft.errors import InputRefused

TINY = PairNetworkSettings(width=4, image_width=32, image_height=32)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def network() -> torch.nn.ModuleDict:
    torch.manual_seed(0)
    network = build_pair_network(TINY)
    with torch.no_grad():  # batch norms that do something
        pooled_comparison(
            network, to_batch(noise(8, 32, 32, 3)), to_batch(noise(8, 32, 32, 3)), precision="32-true"
        )
    return network.eval()


@pytest.fixture
def checkpoint(network: torch.nn.ModuleDict, tmp_path: Path) -> Path:
    torch.save({"settings": TINY.as_record(), "state_dict": network.state_dict()}, tmp_path / "model.pth")
    return tmp_path / "model.pth"


def test_the_network_has_the_measured_size() -> None:
    assert sum(p.numel() for p in build_pair_network(PairNetworkSettings()).parameters()) == 181_449
    assert PairNetworkSettings().features == 192


def test_a_light_shown_twice_changes_nothing(network: torch.nn.ModuleDict) -> None:
    golden, test = to_batch(noise(5, 32, 32, 3)), to_batch(noise(5, 32, 32, 3, seed=1))
    once = pair_logits(network, golden, test, precision="32-true")
    twice = pair_logits(
        network, golden.repeat(1, 2, 1, 1, 1), test.repeat(1, 2, 1, 1, 1), precision="32-true"
    )
    torch.testing.assert_close(once, twice)


def test_the_order_of_lights_changes_nothing_but_their_content_does(network: torch.nn.ModuleDict) -> None:
    golden, test = to_batch(noise(5, 2, 32, 32, 3)), to_batch(noise(5, 2, 32, 32, 3, seed=1))
    features = pooled_comparison(network, golden, test, precision="32-true")
    swapped = pooled_comparison(network, golden.flip(1), test.flip(1), precision="32-true")
    torch.testing.assert_close(features, swapped)
    first = pooled_comparison(network, golden[:, :1], test[:, :1], precision="32-true")
    assert not torch.allclose(features, first)


def test_standardised_images_have_lost_their_lamp_and_board_colour() -> None:
    image = torch.rand(2, 3, 16, 16)
    dimmed = image * 0.5 + 0.2
    torch.testing.assert_close(standardise(image), standardise(dimmed), atol=0.15, rtol=0.15)
    assert standardise(torch.full((1, 3, 8, 8), 0.7)).abs().max() < 1e-4


def test_folding_batch_norms_changes_no_logit(network: torch.nn.ModuleDict) -> None:
    golden, test = to_batch(noise(5, 32, 32, 3)), to_batch(noise(5, 32, 32, 3, seed=1))
    plain = pair_logits(network, golden, test, precision="32-true")
    folded = pair_logits(fold_batch_norms(network), golden, test, precision="32-true")
    torch.testing.assert_close(plain, folded, atol=1e-5, rtol=1e-5)


def test_pairs_embed_alike_from_arrays_and_from_files(checkpoint: Path, tmp_path: Path) -> None:
    golden, test = noise(3, 32, 32, 3), noise(3, 32, 32, 3, seed=1)
    paths: dict[str, list[Path]] = {"golden": [], "test": []}
    for side, images in (("golden", golden), ("test", test)):
        for i, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / f"{side}{i}.png")
            paths[side].append(tmp_path / f"{side}{i}.png")
    vectors = pair_embedding(checkpoint, golden, test)
    assert (vectors.shape, vectors.dtype) == ((3, TINY.features), np.float32)
    assert np.array_equal(vectors, pair_embedding(checkpoint, paths["golden"], paths["test"]))


def test_no_pairs_embed_to_no_rows(checkpoint: Path) -> None:
    nothing = np.empty((0, 32, 32, 3), np.uint8)
    assert pair_embedding(checkpoint, nothing, nothing).shape == (0, TINY.features)


def test_the_pair_embedding_differs_when_the_golden_does(checkpoint: Path) -> None:
    test = noise(2, 32, 32, 3)
    same, other = pair_embedding(checkpoint, test, test), pair_embedding(checkpoint, test[::-1].copy(), test)
    assert not np.allclose(same, other)


def test_appearance_needs_no_training_and_repeats(tmp_path: Path) -> None:
    pool = noise(20, 32, 32, 3)
    before = torch.get_rng_state()
    first = appearance_embedding(pool[:4], pool, TINY)
    assert torch.equal(torch.get_rng_state(), before)
    assert (first.shape, first.dtype) == ((4, TINY.features), np.float32)
    assert np.array_equal(first, appearance_embedding(pool[:4], pool, TINY))
    assert not np.allclose(first, appearance_embedding(pool[:4], pool // 2, TINY))


def test_appearance_sees_the_brightness_that_the_comparison_ignores() -> None:
    bright = noise(6, 32, 32, 3)
    vectors = appearance_embedding(np.concatenate([bright, bright // 4]), bright, TINY)
    within = np.linalg.norm(vectors[:6] - vectors[:6].mean(0), axis=1).mean()
    across = np.linalg.norm(vectors[:6].mean(0) - vectors[6:].mean(0))
    assert across > within


def test_a_checkpoint_returns_with_its_settings(checkpoint: Path) -> None:
    network, settings = load_pair_network(checkpoint)
    assert settings == TINY
    assert not network.training


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "holds no `state_dict`"),
        ([], "holds no record"),
        ({"state_dict": {}}, "not trained with backbone"),
        ({"state_dict": {}, "settings": TINY.as_record()}, "does not fit the network"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, record: object, message: str) -> None:
    torch.save(record, tmp_path / "odd.pth")
    with pytest.raises(InputRefused, match=message):
        load_pair_network(tmp_path / "odd.pth")
