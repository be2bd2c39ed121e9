"""The text side of SigLIP, SigLIP2 and CLIP by transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft.embedding.encoders import REVISION
from deft.embedding.precision import EXACT
from deft.embedding.siglip_clip import (
    as_matrix,
    load_two_towers,
    model_folder,
    require_model_type,
    weights_identity,
)
from deft.errors import EnvironmentMissing, UsageError

MODEL_TYPES = {"clip": ("clip",), "siglip": ("siglip",), "siglip2": ("siglip2", "siglip")}
CLIP_TOKENS = 77
FALLBACK_TOKENS = 64
UNBOUNDED = 1_000_000
"""Tokenisers without a limit of their own name an astronomic one."""


class TextTower:
    """Text features of a two-tower model, not normalised; weights are loaded when first needed."""

    def __init__(self, model: str, model_path: str) -> None:
        self._kind = model.lower().replace("-", "").replace("_", "")
        if self._kind not in MODEL_TYPES:
            raise UsageError(
                "Text embedding model is not valid", value=model, hint="model is one of CLIP, SigLIP, SigLIP2"
            )
        self._folder = model_folder(model_path)
        require_model_type(self._folder, *MODEL_TYPES[self._kind])
        self.fingerprint: dict[str, object] = {
            "model": self._kind,
            "identity": weights_identity(self._folder),
            "precision": EXACT,
            "revision": REVISION,
        }

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the features of some texts, padded or cut to the model's length: float32, (texts, width)."""
        import torch

        model = self._model
        tokens = self._tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self._length, return_tensors="pt"
        )
        with torch.inference_mode():
            return as_matrix(model.get_text_features(**tokens.to(model.device)))

    @cached_property
    def _model(self) -> Any:
        return load_two_towers(self._folder)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._folder)

    @cached_property
    def _length(self) -> int:
        return CLIP_TOKENS if self._kind == "clip" else text_length(self._tokenizer, self._model.config)


def load_tokenizer(folder: Path) -> Any:
    """Load the tokeniser of a model folder; EnvironmentMissing where its files or its package are absent."""
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, ImportError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EnvironmentMissing(
            f"the tokeniser cannot be loaded ({reason})",
            value=folder,
            hint="stage the model's tokenizer files beside its weights",
        ) from None


def text_length(tokenizer: Any, config: Any) -> int:
    """Return the first usable token limit of a tokeniser or a model's configuration, else 64."""
    for limit in _limits(tokenizer, config):
        if isinstance(limit, int) and 0 < limit < UNBOUNDED:
            return limit
    return FALLBACK_TOKENS


def _limits(tokenizer: Any, config: Any) -> Iterator[Any]:
    yield tokenizer.model_max_length
    yield getattr(tokenizer, "init_kwargs", {}).get("model_max_length")
    for name in ("max_position_embeddings", "max_sequence_length", "seq_length"):
        for part in (getattr(config, "text_config", None), config):
            yield getattr(part, name, None)
