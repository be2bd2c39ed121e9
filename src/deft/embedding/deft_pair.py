"""The encoder that needs no download: what the current ChangeNet sees in a pair, beside plain appearance.

The pair component is the pooled comparison of golden and test inside the given checkpoint; it carries what
there is to know about the type of a defect. The appearance component is an untrained convolution stack over
the test image; it carries colour and light, which the comparison takes out. Both networks pool over lights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deft.embedding.encoders import DEFT_PAIR, REVISION, Encoder, Item, Sample
from deft.embedding.pair_network import (
    APPEARANCE_SEED,
    CALIBRATION_IMAGES,
    PairNetworkSettings,
    appearance_embedding,
    load_pair_network,
    pair_embedding,
)
from deft.errors import InputRefused
from deft.files import sha256_of_file, sha256_of_record
from deft.workspace.images import open_image, read_pixels, read_resized

Pixels = NDArray[np.uint8]
WEIGHTS = (0.8, 0.6)
"""Of pair and appearance; measured best for finding the same defect type under the same condition."""
ITEMS_PER_CALL = 2048


def pair_encoder(checkpoint: Path, calibration: Sequence[str]) -> Encoder:
    """Return the encoder of a checkpoint.

    `calibration` lists images of the pool; pool and targets need the same ones, or they do not compare.
    """
    if not checkpoint.is_file():
        raise InputRefused(
            "model_path is not a checkpoint file", value=checkpoint, hint="deft train, or model=SigLIP"
        )
    if not calibration:
        raise InputRefused("no readable image of the pool to calibrate the appearance encoder on", value=0)
    pair = PairComparison(checkpoint)
    appearance = Appearance(calibration)
    fingerprint: dict[str, object] = {
        "model": DEFT_PAIR,
        "identity": pair.identity["checkpoint"],
        "preprocessing": {"weights": list(WEIGHTS), "appearance_seed": APPEARANCE_SEED},
        "calibration": appearance.identity["calibration"],
        "revision": REVISION,
    }
    return Encoder(
        fingerprint,
        (pair, appearance),
        weights=WEIGHTS,
        calibration=tuple(calibration),
        rows_per_part=ITEMS_PER_CALL,
    )


def calibration_images(samples: Sequence[Sample]) -> list[str]:
    """Return up to 256 readable images of a pool, evenly spaced over its rows and lights."""
    images = [image for sample in samples for image in sample.images]
    places = np.linspace(0, len(images) - 1, min(len(images), CALIBRATION_IMAGES)).round().astype(int)
    return [images[place] for place in places if _is_readable(images[place])]


def _is_readable(image: str) -> bool:
    try:
        open_image(image)
    except InputRefused:
        return False
    return True


class PairComparison:
    """The comparison of a test image with its golden inside a trained network."""

    batch_size = ITEMS_PER_CALL

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint
        self.identity: dict[str, object] = {
            "component": "pair_comparison",
            "checkpoint": sha256_of_file(checkpoint),
            "revision": REVISION,
        }

    def items(self, sample: Sample) -> list[Item]:
        """Return the goldens of all lights, then the test images in the same order, as one item."""
        if not sample.goldens:
            raise InputRefused("row has no golden image (column golden_filepath)", value=sample.images[0])
        if len(sample.goldens) != len(sample.images):
            raise InputRefused(
                f"{len(sample.images)} images but {len(sample.goldens)} goldens", value=sample.images[0]
            )
        return [(*sample.goldens, *sample.images)]

    def load(self, item: Item) -> Pixels:
        """Read goldens and tests at the network's size: (2, lights, height, width, 3)."""
        settings = self._settings
        pixels = _stacked(item, settings)
        return pixels.reshape(2, len(item) // 2, *pixels.shape[1:])

    def embed(self, loaded: Sequence[Pixels]) -> NDArray[np.float32]:
        """Return the pooled comparison of each pair: float32, (pairs, features)."""
        return _by_lights(
            loaded, lambda pairs: pair_embedding(self._checkpoint, pairs[:, 0], pairs[:, 1]), lights_axis=1
        )

    @cached_property
    def _settings(self) -> PairNetworkSettings:
        return load_pair_network(self._checkpoint)[1]


class Appearance:
    """Untrained convolution features of the test image, their batch norms calibrated on the pool."""

    batch_size = ITEMS_PER_CALL

    def __init__(self, calibration: Sequence[str]) -> None:
        self._calibration = list(calibration)
        self._settings = PairNetworkSettings()
        self.identity: dict[str, object] = {
            "component": "appearance",
            "seed": APPEARANCE_SEED,
            "calibration": sha256_of_record([sha256_of_file(Path(path)) for path in calibration]),
            "revision": REVISION,
        }

    def items(self, sample: Sample) -> list[Item]:
        """Return the images of all lights as one item."""
        return [sample.images]

    def load(self, item: Item) -> Pixels:
        """Read the lights of one row: (lights, height, width, 3)."""
        return _stacked(item, self._settings)

    def embed(self, loaded: Sequence[Pixels]) -> NDArray[np.float32]:
        """Return the features of each row: float32, (rows, features)."""
        return _by_lights(
            loaded,
            lambda rows: appearance_embedding(rows, self._calibration_pixels, self._settings),
            lights_axis=0,
        )

    @cached_property
    def _calibration_pixels(self) -> Pixels:
        settings = self._settings
        return read_pixels(self._calibration, width=settings.image_width, height=settings.image_height)


def _stacked(paths: Sequence[str], settings: PairNetworkSettings) -> Pixels:
    width, height = settings.image_width, settings.image_height
    return np.stack([read_resized(path, width=width, height=height) for path in paths])


def _by_lights(
    loaded: Sequence[Pixels], embed: Callable[[Pixels], NDArray[np.float32]], *, lights_axis: int
) -> NDArray[np.float32]:
    """Embed rows in groups of equal numbers of lights, which alone fit in one array; keep their order.

    Groups are filled up to an even number: a convolution over one image takes another path than over several
    and rounds differently, and then a vector would depend on what the cache already had.
    """
    counts = np.array([pixels.shape[lights_axis] for pixels in loaded])
    vectors: dict[int, NDArray[np.float32]] = {}
    for count in np.unique(counts):
        places = np.flatnonzero(counts == count).tolist()
        filled = [*places, places[-1]] if len(places) % 2 else places
        vectors.update(zip(filled, embed(np.stack([loaded[i] for i in filled])), strict=True))
    return np.stack([vectors[place] for place in range(len(loaded))])
