"""Random views of a training batch, cheap enough for a CPU: a third of a training step at most.

What golden and test share (orientation, order of the colour channels) is drawn once an eighth of the batch;
what differs between two shots of one board (placement, exposure, lamp, focus, noise) is drawn for each image,
for the golden at half strength. Every draw comes from the one generator that a checkpoint stores.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from deft.tools.visual_changenet.data import Pixels

if TYPE_CHECKING:
    import torch
    from torch import Tensor

EIGHTHS = 8
PERMUTATION_PROBABILITY = 0.5
GOLDEN_STRENGTH = 0.5
SHEAR, SCALE, SHIFT = 0.03, 0.02, 0.03
GAIN, CHANNEL_GAIN, CURVE, ILLUMINATION = 0.25, 0.12, 0.3, 0.2
NOISE = 7 / 255
BLUR_PROBABILITY = 0.3
NOISE_BANK = 2**22


class Augmentation:
    """Turns 8-bit pairs into augmented batches."""

    def __init__(self, seed: int, generator: torch.Generator, image_values: int) -> None:
        import torch

        self._generator = generator
        bank = max(NOISE_BANK, 2 * image_values)
        self._bank = torch.randn(bank, generator=torch.Generator().manual_seed(seed))

    def __call__(self, golden: Pixels, test: Pixels) -> tuple[Tensor, Tensor]:
        """Return golden and test (n, lights, 3, height, width) in 0..1 from (n, lights, height, width, 3)."""
        shape = golden.shape[:2]
        golden_images, test_images = self._orient(golden, test)
        self._photograph(golden_images, GOLDEN_STRENGTH)
        test_images = self._place(test_images, lights=shape[1])
        self._photograph(test_images, 1.0)
        return golden_images.unflatten(0, shape), test_images.unflatten(0, shape)

    def _orient(self, golden: Pixels, test: Pixels) -> tuple[Tensor, Tensor]:
        import torch

        square = golden.shape[2] == golden.shape[3]
        sides: tuple[list[Tensor], list[Tensor]] = ([], [])
        chunks = (torch.from_numpy(side).chunk(EIGHTHS) for side in (golden, test))
        for pair in zip(*chunks, strict=True):
            turns = int(self._uniform(1) * 4) if square else 2 * int(self._uniform(1) * 2)
            mirrored = bool(self._uniform(1) < 0.5)
            permuted = bool(self._uniform(1) < PERMUTATION_PROBABILITY)
            order = torch.randperm(3, generator=self._generator)
            for side, images in zip(sides, pair, strict=True):
                turned = torch.rot90(images, turns, (2, 3))
                turned = turned.flip(3) if mirrored else turned
                side.append(turned[..., order] if permuted else turned)
        return _to_planes(sides[0]), _to_planes(sides[1])

    def _place(self, images: Tensor, *, lights: int) -> Tensor:
        """Move the test images a little: shear and rotation, scale, shift; the same for all lights of one."""
        import torch
        from torch.nn import functional

        pairs = len(images) // lights
        draw = self._uniform(pairs, 6) * 2 - 1
        diagonal = 1 + SCALE * draw[:, :1]
        theta = torch.stack(
            [
                torch.cat([diagonal, SHEAR * draw[:, 1:2], SHIFT * draw[:, 2:3]], 1),
                torch.cat([SHEAR * draw[:, 3:4], 1 + SCALE * draw[:, 4:5], SHIFT * draw[:, 5:6]], 1),
            ],
            1,
        ).repeat_interleave(lights, 0)
        grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _photograph(self, images: Tensor, strength: float) -> None:
        """Change exposure, colour balance, contrast curve, lamp direction, focus and noise, in place."""
        count = len(images)
        draw = (self._uniform(count, 6) * 2 - 1).mul_(strength)[:, :, None, None]
        curve = draw[:, 0:1] * CURVE
        images.mul_((1 + curve) - curve * images)
        images.mul_(self._illumination(images, draw[:, 1:2]))
        images.mul_((1 + GAIN * draw[:, 2:3]) * (1 + CHANNEL_GAIN * draw[:, 3:6]))
        self._defocus(images)
        self._add_noise(images, strength)
        images.clamp_(0, 1)

    def _illumination(self, images: Tensor, amount: Tensor) -> Tensor:
        import torch

        height, width = images.shape[2:]
        direction = self._uniform(len(images))[:, None, None, None] * (2 * math.pi)
        across = torch.linspace(-1, 1, width)[None, None, None, :] * direction.cos()
        down = torch.linspace(-1, 1, height)[None, None, :, None] * direction.sin()
        return (across + down).mul_(ILLUMINATION * amount).add_(1)

    def _defocus(self, images: Tensor) -> None:
        chosen = (self._uniform(len(images)) < BLUR_PROBABILITY).nonzero().squeeze(1)
        if len(chosen):
            images[chosen] = _box_blur(_box_blur(images[chosen]))

    def _add_noise(self, images: Tensor, strength: float) -> None:
        size = images[0].numel()
        span = len(self._bank) - size
        sigmas = (self._uniform(len(images)) * (NOISE * strength)).tolist()
        offsets = (self._uniform(len(images)) * span).long().tolist()
        for image, sigma, offset in zip(images, sigmas, offsets, strict=True):
            image.add_(self._bank[offset : offset + size].view_as(image), alpha=sigma)

    def _uniform(self, *shape: int) -> Tensor:
        import torch

        return torch.rand(shape, generator=self._generator)


def _box_blur(images: Tensor) -> Tensor:
    """Average 3x3 neighbours; sums of slices take a tenth of the time of torch's average pooling."""
    from torch.nn import functional

    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    rows = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
    return (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]).div_(9)


def _to_planes(chunks: list[Tensor]) -> Tensor:
    import torch

    images = torch.cat(chunks).flatten(0, 1).permute(0, 3, 1, 2)
    return images.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
