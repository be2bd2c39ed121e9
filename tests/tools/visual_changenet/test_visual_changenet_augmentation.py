from __future__ import annotations

import numpy as np
import torch

from deft.tools.visual_changenet.augmentation import Augmentation


def augmented(golden: np.ndarray, test: np.ndarray, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return Augmentation(0, generator, image_values=golden[0, 0].size)(golden, test)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_augmented_images_stay_in_range_and_repeat_with_the_generator() -> None:
    images = noise(16, 2, 24, 24, 3)
    golden, test = augmented(images, images)
    assert golden.shape == test.shape == (16, 2, 3, 24, 24)
    assert min(golden.min(), test.min()) >= 0
    assert max(golden.max(), test.max()) <= 1
    again = augmented(images, images)
    assert torch.equal(golden, again[0])
    assert torch.equal(test, again[1])
    assert not torch.equal(golden, augmented(images, images, seed=1)[0])


def test_golden_and_test_are_turned_alike_and_keep_their_channels_in_step() -> None:
    """A red corner mark must stand in the same corner and the same channel of both."""
    marked = np.full((64, 1, 32, 32, 3), 80, np.uint8)
    marked[:, :, :12, :8, 0] = 250
    golden, test = (images.flatten(2) for images in augmented(marked, marked))
    similarity = torch.nn.functional.cosine_similarity(
        golden - golden.mean(-1, True), test - test.mean(-1, True), dim=-1
    )
    assert similarity.min() > 0.6
    orientations = {int(image.argmax()) // 64 for image in golden[:, 0]}
    assert len(orientations) > 4


def test_a_golden_is_disturbed_less_than_a_test_image() -> None:
    flat = np.full((64, 1, 32, 32, 3), 128, np.uint8)
    golden, test = augmented(flat, flat)
    assert (golden - 0.5).abs().mean() < 0.75 * (test - 0.5).abs().mean()


def test_all_lights_of_a_component_are_placed_alike() -> None:
    image = noise(12, 1, 32, 32, 3)
    generator = torch.Generator().manual_seed(0)
    augmentation = Augmentation(0, generator, image_values=image[0, 0].size)
    planes = torch.from_numpy(np.repeat(image, 2, 1)).flatten(0, 1).permute(0, 3, 1, 2).float()
    placed = augmentation._place(planes, lights=2).unflatten(0, (12, 2))
    assert torch.equal(placed[:, 0], placed[:, 1])
    assert not torch.equal(placed.flatten(0, 1), planes)


def test_images_that_are_not_square_keep_their_shape() -> None:
    golden, test = augmented(noise(16, 1, 24, 40, 3), noise(16, 1, 24, 40, 3))
    assert golden.shape == test.shape == (16, 1, 3, 24, 40)
