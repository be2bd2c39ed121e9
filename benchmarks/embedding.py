"""Embed images by a SigLIP-base-shaped model against the plain transformers loop, first and second time.

    python -m benchmarks embedding

The model has the published shape (vision: width 768, 12 layers, patch 16 at 224) and random weights, so that
nothing is downloaded. The peer is the container's loop written out in `plain`: Pillow, the model's processor
on batches of 64, fp32, one thread. Ours is `embedding image_embeddings` with precision=auto and all threads,
Parquet to Parquet; its second call finds everything in the cache.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.runs import private_state
from benchmarks.timing import spread

BATCH = 64


def save_model(folder: Path) -> Path:
    """Save a SigLIP of the base shape, its text side cut to one layer."""
    import torch
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    torch.manual_seed(0)
    text = {"num_hidden_layers": 1, "vocab_size": 1000, "bos_token_id": 0, "eos_token_id": 1}
    SiglipModel(SiglipConfig(text_config=text)).save_pretrained(folder)
    SiglipImageProcessor().save_pretrained(folder)
    return folder


def draw_crops(folder: Path, count: int) -> list[str]:
    """Save JPEG crops of 300 x 300 with smooth random content."""
    from PIL import Image

    draw, paths = np.random.default_rng(0), []
    for number in range(count):
        coarse = Image.fromarray(draw.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        coarse.resize((300, 300), Image.Resampling.BICUBIC).save(folder / f"{number:04d}.jpg", quality=92)
        paths.append(str(folder / f"{number:04d}.jpg"))
    return paths


def plain_loop(folder: Path) -> Callable[[list[str]], np.ndarray]:
    """Return the container's loop over a model that is loaded before the clock starts."""
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, SiglipModel

    model = SiglipModel.from_pretrained(folder).train(False)
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")

    def plain(paths: list[str]) -> np.ndarray:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        vectors = []
        for start in range(0, len(paths), BATCH):
            images = [Image.open(path).convert("RGB") for path in paths[start : start + BATCH]]
            with torch.no_grad():
                features = model.get_image_features(**processor(images=images, return_tensors="pt"))
            vectors.append(getattr(features, "pooler_output", features).numpy())
        torch.set_num_threads(threads)
        return np.concatenate(vectors)

    return plain


def embed(model: Path, paths: list[str], folder: Path) -> np.ndarray:
    """Run the tool, Parquet to Parquet, model loading and hashing of weights included."""
    from deft.embedding.sets import EmbeddingSet
    from deft.tools.image_embeddings import ImageEmbeddingsConfig, run

    source, output = folder / "in.parquet", folder / "out.parquet"
    pd.DataFrame({"filepath": paths}).to_parquet(source, index=False)
    run(
        ImageEmbeddingsConfig(
            str(source), str(output), model="SigLIP", model_path=str(model), precision="auto"
        )
    )
    return EmbeddingSet.read(output).matrix


def main() -> None:
    """Measure parts of the images in turn, so that drift meets both alike."""
    parser = argparse.ArgumentParser(description="Time the embedding of images.")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--parts", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    private_state()
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), given.images, given.parts, given.threads)


def measure(folder: Path, images: int, parts: int, threads: int) -> None:
    """Print images a second of both, their ratio, the cosine, and the second call.

    With one thread, seconds are seconds of processor: fair on a machine that does other work too.
    """
    import torch

    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    model, paths = save_model(folder / "model"), draw_crops(folder, images)
    plain, times, cosines = plain_loop(model), {"plain": [], "deft": [], "again": []}, []
    for part in np.array_split(np.array(paths), parts):
        rows, vectors = part.tolist(), []
        works = {
            "plain": partial(plain, rows),
            "deft": partial(embed, model, rows, folder),
            "again": partial(embed, model, rows, folder),
        }
        for name, work in works.items():
            started = clock()
            vectors.append(work())
            times[name].append((clock() - started) / len(rows))
        one, other = vectors[:2]
        cosines.append((one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1))
    for name, values in times.items():
        print(f"{name:6} images a second: {spread([1 / value for value in values], 2)}")
    for name in ("deft", "again"):
        ratios = [slow / fast for slow, fast in zip(times["plain"], times[name], strict=True)]
        print(f"{name:6} times the plain loop: {spread(ratios, 2)}")
    print(f"least cosine to fp32: {np.concatenate(cosines).min():.6f}")


if __name__ == "__main__":
    main()
