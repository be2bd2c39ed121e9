"""Which encoder a tool call means, and what every encoder promises.

An encoder is one or two components; a component turns files into vectors. Nothing heavy is loaded until a
component is first asked for a vector, so a run answered by the cache never imports PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from deft.errors import EnvironmentMissing, InputRefused, UsageError

SIGLIP, CLIP, DEFT_PAIR = "SigLIP", "CLIP", "deft_pair"
TAO_CHECKPOINT_SUFFIXES = (".pth", ".ckpt")
REVISION = 2
"""Raised with every change that changes a vector: older tables and caches then no longer match."""

Item = tuple[str, ...]
"""The files that one vector is computed from."""


class Sample(NamedTuple):
    """One row to embed: the component's image under each light, and its golden's where the encoder asks."""

    images: tuple[str, ...]
    goldens: tuple[str, ...] = ()


class Component(Protocol):
    """One function from files to vectors."""

    identity: dict[str, object]
    """Everything a vector depends on apart from the files: the key of the cache."""
    batch_size: int
    """How many items one call of `embed` takes at most."""

    def items(self, sample: Sample) -> list[Item]:
        """Return the files of each light; raise InputRefused where the sample lacks some."""

    def load(self, item: Item) -> Any:
        """Read the files of one item; raise InputRefused for one that is no image."""

    def embed(self, loaded: Sequence[Any]) -> NDArray[np.float32]:
        """Return one vector a loaded item: float32, (items, width)."""


@dataclass(frozen=True)
class Encoder:
    """What rows are embedded by.

    With `weights` each component is standardised on the pool and weighed; `calibration` names the images of
    the pool that a component was calibrated on. Rows are embedded and kept in parts of `rows_per_part`.
    """

    fingerprint: dict[str, object]
    components: tuple[Component, ...]
    rows_per_part: int
    weights: tuple[float, ...] = ()
    calibration: tuple[str, ...] = ()


def load_encoder(
    model: str,
    model_path: str,
    model_config_path: str = "",
    *,
    batch_size: int = 64,
    calibration: Sequence[str] = (),
    precision: str = "fp32",
) -> Encoder:
    """Return the encoder that `model` and `model_path` name (keys of `embedding image_embeddings`).

    `SigLIP` and `CLIP` take a local folder or a hub id, and a `precision` (auto, fp32, bf16); `deft_pair`
    takes a checkpoint of the embedded ChangeNet and images of the pool to calibrate on. Raises UsageError for
    another name, InputRefused for a path that holds something else, EnvironmentMissing for weights that are
    not on this machine.
    """
    if model == DEFT_PAIR:
        from deft.embedding.deft_pair import pair_encoder

        return pair_encoder(Path(model_path), calibration)
    if model_path.lower().endswith(TAO_CHECKPOINT_SUFFIXES):
        raise _tao_checkpoint_refused(model_path, model_config_path)
    if model in (SIGLIP, CLIP):
        from deft.embedding.precision import settled_precision
        from deft.embedding.siglip_clip import image_encoder

        return image_encoder(model, model_path, batch_size, settled_precision(precision))
    raise UsageError(
        "Embedding model is not valid", value=model, hint=f"model is one of {SIGLIP}, {CLIP}, {DEFT_PAIR}"
    )


def _tao_checkpoint_refused(model_path: str, model_config_path: str) -> Exception:
    """Return why a TAO-CLIP checkpoint cannot be used; the suffix means one, whatever `model` says."""
    if not model_config_path:
        return UsageError(
            "model_config_path is required when model_path is a TAO checkpoint",
            value=model_path,
            hint="for a ChangeNet checkpoint of the embedded engine say model=deft_pair",
        )
    for key, path in (("model_path", model_path), ("model_config_path", model_config_path)):
        if not Path(path).is_file():
            return InputRefused(f"{key} names a file that does not exist", value=path)
    return EnvironmentMissing(
        "a TAO-CLIP checkpoint needs the loader of TAO's own image",
        value=model_path,
        hint="run this call with --platform docker, or use model=CLIP with a folder of transformers weights",
    )
