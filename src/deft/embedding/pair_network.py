"""The embedded network: compare a test image with its golden before pooling, and what mining reads off it.

Middle fusion: a shared encoder maps golden and test to 1/4 of the resolution, the maps are joined as
`[golden, test, |golden - test|]`, further convolutions compare them, and the comparison is pooled over space
and over lights. Keeping the spatial map until after the comparison is what finds a defect of five pixels.
Only dense convolutions: depthwise ones are slow on CPUs in channels_last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deft.embedding.weight_files import require_plain_checkpoint
from deft.errors import InputRefused
from deft.workspace.images import read_pixels

if TYPE_CHECKING:
    from torch import Tensor, nn

BACKBONE_TYPE = "deft_mid_fusion"
HIDDEN = 64
APPEARANCE_SEED = 20061
CALIBRATION_IMAGES = 256
BLOCK = 256
Pixels = npt.NDArray[np.uint8]
Images = Pixels | Sequence[Path] | Sequence[str]


@dataclass(frozen=True)
class PairNetworkSettings:
    """What a checkpoint needs besides its weights to be run again."""

    width: int = 24
    image_width: int = 64
    image_height: int = 64
    rotations: int = 4

    @property
    def features(self) -> int:
        """Length of the pooled comparison: 192 at the default width."""
        return 8 * self.width

    def as_record(self) -> dict[str, int | str]:
        """Return the plain record that a checkpoint stores."""
        return {"backbone": BACKBONE_TYPE, **asdict(self)}


# --- the network -----------------------------------------------------------------------------


def build_pair_network(settings: PairNetworkSettings) -> nn.ModuleDict:
    """Return the untrained network (181,449 parameters at width 24), in channels_last."""
    import torch
    from torch import nn

    width = settings.width
    encoder = nn.Sequential(_stage(3, width), _stage(width, 2 * width))
    fuse = _convolution(6 * width, 2 * width, kernel=1)
    compare = nn.Sequential(fuse, _stage(2 * width, 4 * width))
    head = nn.Sequential(nn.Linear(settings.features, HIDDEN), nn.ReLU(inplace=True), nn.Linear(HIDDEN, 1))
    network = nn.ModuleDict({"encoder": encoder, "compare": compare, "head": head})
    return network.to(memory_format=torch.channels_last)


def _stage(channels: int, width: int) -> nn.Sequential:
    from torch import nn

    return nn.Sequential(_convolution(channels, width, stride=2), _convolution(width, width))


def _convolution(channels: int, width: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    from torch import nn

    convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def pair_logits(network: nn.ModuleDict, golden: Tensor, test: Tensor, *, precision: str) -> Tensor:
    """Return one logit a pair (positive: defect) for images (n, lights, 3, height, width) in 0..1."""
    return network["head"](pooled_comparison(network, golden, test, precision=precision)).squeeze(1)


def pooled_comparison(network: nn.ModuleDict, golden: Tensor, test: Tensor, *, precision: str) -> Tensor:
    """Return the comparison (n, features): maximum and mean over space and lights, in 32 bits.

    Every light is compared on its own by the same weights; a light is one more place to look at, so any
    number of lights gives the same features and the same parameters.
    """
    import torch

    pairs, lights = test.shape[:2]
    both = standardise(torch.cat([golden.flatten(0, 1), test.flatten(0, 1)]))
    with torch.autocast(both.device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
        golden_map, test_map = network["encoder"](both).chunk(2)
        fused = torch.cat([golden_map, test_map, (golden_map - test_map).abs()], dim=1)
        maps = network["compare"](fused)
    return _pool(maps.float().unflatten(0, (pairs, lights)))


def _pool(maps: Tensor) -> Tensor:
    import torch

    places = maps.flatten(3).transpose(1, 2).flatten(2)
    return torch.cat([places.amax(2), places.mean(2)], dim=1)


def standardise(images: Tensor) -> Tensor:
    """Take out each image's channel means and divide by its contrast, so that lamp and board colour fade."""
    centred = images - images.mean((2, 3), keepdim=True)
    variance = centred.square().mean((2, 3), keepdim=True)  # torch.var_mean takes five times as long
    contrast = variance.sqrt() + variance.mean(1, keepdim=True).sqrt()
    return centred.div_(contrast.mul_(0.5).add_(0.02))


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Return a copy for inference in which every batch norm is part of its convolution."""
    import copy

    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    folded = copy.deepcopy(network).train(False)
    for block in [module for module in folded.modules() if isinstance(module, nn.Sequential)]:
        if len(block) == 3 and isinstance(block[1], nn.BatchNorm2d):
            block[0], block[1] = fuse_conv_bn_eval(block[0], block[1]), nn.Identity()
    return folded


def to_batch(pixels: Pixels) -> Tensor:
    """Return 8-bit images (n, [lights,] height, width, 3) as (n, lights, 3, height, width) in 0..1."""
    import torch

    lit = pixels if pixels.ndim == 5 else pixels[:, None]
    return torch.from_numpy(lit).permute(0, 1, 4, 2, 3).float().div_(255)


# --- checkpoints -----------------------------------------------------------------------------


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint: a record with a `state_dict`."""
    checkpoint = read_tensors(path)
    if not isinstance(checkpoint.get("state_dict"), dict):
        raise InputRefused("checkpoint holds no `state_dict`", value=path)
    return checkpoint


def read_tensors(path: Path) -> dict[str, Any]:
    """Read a record of tensors and plain values; a file that would run code is refused by name."""
    import pickle
    import warnings

    import torch

    if not Path(path).is_file():
        raise InputRefused("checkpoint does not exist", value=path)
    require_plain_checkpoint(Path(path))
    try:
        with warnings.catch_warnings(action="ignore"):  # the refusal below says it in one line
            record = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputRefused(f"checkpoint cannot be read ({reason})", value=path) from None
    if not isinstance(record, dict):
        raise InputRefused("checkpoint holds no record", value=path)
    return record


def load_pair_network(path: Path) -> tuple[nn.ModuleDict, PairNetworkSettings]:
    """Load the weights that score (the averaged ones) and their settings, ready for inference."""
    checkpoint = read_checkpoint(path)
    settings = pair_network_settings(checkpoint, path)
    network = build_pair_network(settings)
    load_weights(network, checkpoint["state_dict"], path)
    return network.train(False), settings


def pair_network_settings(checkpoint: dict[str, Any], path: Path) -> PairNetworkSettings:
    """Return the settings a checkpoint was trained with; another engine's checkpoint is refused."""
    record = dict(checkpoint.get("settings") or {})
    if record.pop("backbone", None) != BACKBONE_TYPE:
        raise InputRefused(f"checkpoint was not trained with backbone {BACKBONE_TYPE}", value=path)
    return PairNetworkSettings(**record)


def load_weights(network: nn.Module, weights: dict[str, Any], path: Path) -> None:
    """Load weights strictly: every name and every shape must agree."""
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise InputRefused(f"checkpoint does not fit the network ({reason})", value=path) from None


# --- what mining reads -----------------------------------------------------------------------


def pair_embedding(checkpoint: Path, golden: Images, test: Images) -> npt.NDArray[np.float32]:
    """Embed pairs by the pooled comparison of a trained network: (n, 192) at the default width.

    Images are 8-bit arrays (n, [lights,] height, width, 3) or lists of paths, golden and test in step.
    """
    import torch

    network, settings = load_pair_network(checkpoint)
    folded = fold_batch_norms(network)
    blocks = []
    with torch.inference_mode():
        for start in range(0, len(test), BLOCK):
            pair = [
                to_batch(_pixels(side[start : start + BLOCK], settings.image_width, settings.image_height))
                for side in (golden, test)
            ]
            blocks.append(pooled_comparison(folded, pair[0], pair[1], precision="32-true").numpy())
    return np.concatenate(blocks or [np.empty((0, settings.features), np.float32)])


def appearance_embedding(
    images: Images, calibration: Images, settings: PairNetworkSettings = PairNetworkSettings()
) -> npt.NDArray[np.float32]:
    """Embed images by an untrained convolution stack with a fixed seed: (n, 192) at the default width.

    It sees colour and light, which the pair network's standardisation takes out. Its batch norms take their
    statistics from up to 256 images of `calibration`, evenly spaced: give the same pool for pool and targets.
    """
    import torch

    network = _appearance_network(settings)
    size = (settings.image_width, settings.image_height)
    chosen = (
        np.linspace(0, len(calibration) - 1, min(len(calibration), CALIBRATION_IMAGES)).round().astype(int)
    )
    _calibrate(network, to_batch(_pixels([calibration[i] for i in chosen], *size)))
    folded = fold_batch_norms(network)
    blocks = []
    with torch.inference_mode():
        for start in range(0, len(images), BLOCK):
            batch = to_batch(_pixels(images[start : start + BLOCK], *size))
            maps = folded(batch.flatten(0, 1))
            blocks.append(_pool(maps.unflatten(0, batch.shape[:2])).numpy())
    return np.concatenate(blocks or [np.empty((0, settings.features), np.float32)])


def _appearance_network(settings: PairNetworkSettings) -> nn.Sequential:
    import torch
    from torch import nn

    width = settings.width
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(APPEARANCE_SEED)
        stages = nn.Sequential(_stage(3, width), _stage(width, 2 * width), _stage(2 * width, 4 * width))
    return stages.to(memory_format=torch.channels_last)


def _calibrate(network: nn.Sequential, batch: Tensor) -> None:
    import torch
    from torch import nn

    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the running statistics become those of this one batch
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums over the batch are split by threads: one machine's would not be another's
    try:
        with torch.inference_mode():
            network.train()(batch.flatten(0, 1))
    finally:
        torch.set_num_threads(threads)
    network.train(False)


def _pixels(images: Any, width: int, height: int) -> Pixels:
    if isinstance(images, np.ndarray) and images.dtype == np.uint8:
        return images
    if len(images) and isinstance(images[0], np.ndarray):
        return np.stack(images)
    return read_pixels(images, width=width, height=height)
