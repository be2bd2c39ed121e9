"""SigLIP and CLIP image encoders by transformers, from a local folder or a hub id."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft.embedding.encoders import REVISION, Encoder, Item, Sample
from deft.embedding.precision import EXACT, FAST, multiply_in_bfloat16
from deft.embedding.weight_files import require_plain_checkpoint, require_plain_safetensors
from deft.errors import EnvironmentMissing, InputRefused
from deft.files import read_text, sha256_of_file, sha256_of_record
from deft.workspace.images import open_image

Matrix = NDArray[np.float32]
MODEL_TYPES = {"SigLIP": "siglip", "CLIP": "clip"}
ROWS_PER_PART = 256
TOGETHER = {False: 8, True: 64}
"""How many images go through the model together, without and with a GPU."""
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
DESCRIPTIONS = ("*.json", "*.txt", "*.model")
SAFE_WEIGHTS = "*.safetensors"
PICKLED_WEIGHTS = "pytorch_model*.bin"
PREPROCESSING_FILES = ("preprocessor_config.json", "processor_config.json")
PREPROCESSING_KEYS = (
    "crop_size",
    "do_center_crop",
    "do_normalize",
    "do_rescale",
    "do_resize",
    "image_mean",
    "image_std",
    "resample",
    "rescale_factor",
    "size",
)


def image_encoder(model: str, model_path: str, batch_size: int, precision: str = EXACT) -> Encoder:
    """Return the image side of a SigLIP or CLIP model; the weights are hashed now and loaded when needed.

    `precision` is fp32 or bf16.
    """
    folder = model_folder(model_path)
    require_model_type(folder, MODEL_TYPES[model])
    fingerprint: dict[str, object] = {
        "model": model,
        "identity": weights_identity(folder),
        "preprocessing": _preprocessing(folder),
        "precision": precision,
        "revision": REVISION,
    }
    tower = ImageTower(folder, fingerprint, batch_size)
    return Encoder(fingerprint, (tower,), rows_per_part=batch_size * max(1, ROWS_PER_PART // batch_size))


class ImageTower:
    """The image features of a two-tower model: pooled, projected by CLIP, not normalised."""

    def __init__(self, folder: Path, identity: dict[str, object], batch_size: int) -> None:
        self.identity, self.batch_size = identity, batch_size
        self._folder = folder

    def items(self, sample: Sample) -> list[Item]:
        """Return one image a light."""
        return [(image,) for image in sample.images]

    def load(self, item: Item) -> Matrix:
        """Read an image as the model takes it: float32, (3, height, width)."""
        pixels: Matrix = self._processor(images=[open_image(item[0])], return_tensors="np")["pixel_values"][0]
        return pixels

    def embed(self, loaded: Sequence[Matrix]) -> Matrix:
        """Return the features of some images: float32, (images, width).

        Always the same number goes through the model together, filled up where there are fewer: products of
        other sizes round differently, and then a vector would depend on what the cache already had.
        """
        together = TOGETHER[self._model.device.type == "cuda"]
        found = []
        for start in range(0, len(loaded), together):
            group = list(loaded[start : start + together])
            found.append(self._embed_group(group + group[-1:] * (together - len(group)))[: len(group)])
        return np.concatenate(found)

    def _embed_group(self, group: list[Matrix]) -> Matrix:
        import torch

        model = self._model
        pixels = torch.from_numpy(np.stack(group))
        with torch.inference_mode():
            return as_matrix(model.get_image_features(pixel_values=pixels.to(model.device)))

    @cached_property
    def _model(self) -> Any:
        model = load_two_towers(self._folder)
        return multiply_in_bfloat16(model) if self.identity["precision"] == FAST else model

    @cached_property
    def _processor(self) -> Any:
        import transformers

        # Pillow's resampling, whatever else is installed: it is what the reference embeddings were made with
        major = int(transformers.__version__.split(".")[0])
        choice: dict[str, object] = {"backend": "pil"} if major >= 5 else {"use_fast": False}
        return transformers.AutoImageProcessor.from_pretrained(self._folder, local_files_only=True, **choice)


def as_matrix(features: Any) -> Matrix:
    """Return features as a float32 matrix: newer releases of transformers wrap them in an output object."""
    tensor = getattr(features, "pooler_output", features)
    matrix: Matrix = tensor.float().cpu().numpy()
    return matrix


def load_two_towers(folder: Path) -> Any:
    """Load a SigLIP or CLIP model in fp32, on the GPU where there is one; no weight may be missing."""
    import torch
    import transformers

    _require_plain_weights(folder)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        model, report = transformers.AutoModel.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError, KeyError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputRefused(f"model folder cannot be loaded ({reason})", value=folder) from None
    missing = sorted(report["missing_keys"])
    if missing:
        raise InputRefused(
            f"the weights lack {len(missing)} parameters, first {missing[0]}",
            value=folder,
            hint="stage the whole model again; a part of it would be random",
        )
    return model.train(False).to("cuda" if torch.cuda.is_available() else "cpu")


def _require_plain_weights(folder: Path) -> None:
    for path in folder.glob(SAFE_WEIGHTS):
        require_plain_safetensors(path)
    for path in folder.glob(PICKLED_WEIGHTS):
        require_plain_checkpoint(path)


def model_folder(model_path: str) -> Path:
    """Return the local folder of a model: `model_path` itself, or the snapshot of a hub id.

    HF_HUB_OFFLINE and HF_HOME are respected. Raises EnvironmentMissing where neither is on this machine.
    """
    if Path(model_path).is_dir():
        return Path(model_path)
    if Path(model_path).exists() or not HUB_ID.fullmatch(model_path):
        raise InputRefused(
            "model_path is neither a folder nor a hub id",
            value=model_path,
            hint=_staging_hint("ORGANISATION/MODEL"),
        )
    return _snapshot(model_path)


def _snapshot(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(hub_id, allow_patterns=[*DESCRIPTIONS, SAFE_WEIGHTS]))
        if not any(folder.glob(SAFE_WEIGHTS)):
            folder = Path(snapshot_download(hub_id, allow_patterns=[*DESCRIPTIONS, PICKLED_WEIGHTS]))
    except Exception as error:  # noqa: BLE001 - the hub's client raises its transport's errors of many families
        reason = " ".join(str(error).split())[:160]
        raise EnvironmentMissing(
            f"the model is not on this machine and could not be fetched ({type(error).__name__}: {reason})",
            value=hub_id,
            hint=_staging_hint(hub_id),
        ) from None
    return folder


def staged_snapshot(hub_id: str) -> Path | None:
    """Return the folder of a hub model whose weights are on this machine, without asking the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(hub_id, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):  # the hub has no model of such a name either
        return None
    staged = any(path for pattern in (SAFE_WEIGHTS, PICKLED_WEIGHTS) for path in folder.glob(pattern))
    return folder if staged else None


def _staging_hint(hub_id: str) -> str:
    return f"where there is network: hf download {hub_id} --local-dir DIR, then model_path=DIR"


def require_model_type(folder: Path, *expected: str) -> None:
    """Refuse a folder whose config.json names none of the expected kinds of model."""
    found = _read_record(folder / "config.json").get("model_type")
    if found not in expected:
        raise InputRefused(f"the folder holds a model of type {found}, not {expected[0]}", value=folder)


def weights_identity(folder: Path) -> str:
    """Return one sha256 over the architecture and every weight file of a model folder."""
    weights = sorted(folder.glob(SAFE_WEIGHTS)) or sorted(folder.glob(PICKLED_WEIGHTS))
    if not weights:
        raise EnvironmentMissing(
            "model folder holds no weights (*.safetensors)",
            value=folder,
            hint=_staging_hint("ORGANISATION/MODEL"),
        )
    return sha256_of_record({path.name: sha256_of_file(path) for path in [folder / "config.json", *weights]})


def _preprocessing(folder: Path) -> dict[str, object]:
    for name in PREPROCESSING_FILES:
        if (folder / name).is_file():
            record = _read_record(folder / name)
            settings = record.get("image_processor", record)
            return {key: settings[key] for key in PREPROCESSING_KEYS if key in settings}
    raise EnvironmentMissing(
        f"model folder lacks {PREPROCESSING_FILES[0]}", value=folder, hint=_staging_hint("ORGANISATION/MODEL")
    )


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(read_text(path))
    except ValueError as error:
        raise InputRefused(f"file is not JSON ({error})", value=path) from None
    if not isinstance(record, dict):
        raise InputRefused("file is not a JSON object", value=path)
    return record
