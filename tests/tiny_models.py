"""Randomly initialised models small enough for a test, and pictures to show them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from deft.files import write_json

SIDE = 16
TOWER = {"hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
VISION = {**TOWER, "image_size": SIDE, "patch_size": 8}
TEXT = {**TOWER, "vocab_size": 8, "max_position_embeddings": 77}
PREPROCESSING = {
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "resample": 3,
    "rescale_factor": 1 / 255,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def save_siglip(folder: Path, *, seed: int = 0) -> Path:
    """Save a SigLIP of width 8 for images of 16 x 16."""
    import torch
    from transformers import SiglipConfig, SiglipModel

    torch.manual_seed(seed)
    SiglipModel(
        SiglipConfig(text_config={**TEXT, "projection_size": 8}, vision_config=VISION)
    ).save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    record = {**PREPROCESSING, "image_processor_type": "SiglipImageProcessor", "size": size}
    write_json(folder / "preprocessor_config.json", record)
    return folder


def save_clip(folder: Path, *, seed: int = 0) -> Path:
    """Save a CLIP that projects to width 6."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)
    CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=6)).save_pretrained(folder)
    record = {**PREPROCESSING, "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": SIDE}}
    crop = {"do_center_crop": True, "crop_size": {"height": SIDE, "width": SIDE}}
    write_json(folder / "preprocessor_config.json", {**record, **crop})
    return folder


def save_tokenizer(folder: Path, *, limit: int | None = None) -> Path:
    """Save a tokeniser of six words into a model's folder."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    words = {
        word: number for number, word in enumerate(["[PAD]", "[UNK]", "solder", "bridge", "open", "short"])
    }
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    limits = {} if limit is None else {"model_max_length": limit}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        model_input_names=["input_ids"],
        **limits,
    )
    fast.save_pretrained(folder)
    return folder


def save_pair_checkpoint(path: Path, *, seed: int = 0) -> Path:
    """Save an untrained pair network of width 2 for images of 16 x 16."""
    import torch

    from deft.embedding.pair_network import PairNetworkSettings, build_pair_network

    torch.manual_seed(seed)
    settings = PairNetworkSettings(width=2, image_width=SIDE, image_height=SIDE)
    network = build_pair_network(settings)
    torch.save({"state_dict": network.state_dict(), "settings": settings.as_record()}, path)
    return path


def draw_images(folder: Path, count: int, *, seed: int = 0) -> list[str]:
    """Save pictures of noise, each of another content, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    paths = []
    for number in range(count):
        pixels = generator.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
        paths.append(str(folder / f"{number:03d}.png"))
    return paths
