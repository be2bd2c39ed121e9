"""`embedding text_embeddings`: one vector for each row of a table of texts (contract section 2b)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deft.embedding.sets import EMBEDDING, WIDTH, read_arrow, write_embeddings
from deft.embedding.text_encoder import TextTower
from deft.errors import InputRefused, UsageError
from deft.tools.output import report_progress, say

TEXT = "text"


@dataclass
class TextEmbeddingsConfig:
    """Keys of the spec."""

    input_parquet: str = "???"
    output_parquet: str = "???"
    model: str = "???"
    model_path: str = "???"
    batch_size: int = 64


def run(config: TextEmbeddingsConfig) -> None:
    """Embed the column `text` of `input_parquet` into `output_parquet`: text, embedding, then the others.

    Raises UsageError and InputRefused for keys, models and tables that cannot be used.
    """
    source, output = Path(config.input_parquet), Path(config.output_parquet)
    if config.batch_size < 1:
        raise UsageError("batch_size must be at least 1", value=config.batch_size)
    table = read_arrow(source, required=(TEXT,))
    texts = _texts(table, source)
    tower = TextTower(config.model, config.model_path)
    say(f"Total texts to process: {len(texts)}")
    blocks = []
    for start in range(0, len(texts), config.batch_size):
        blocks.append(tower.embed(texts[start : start + config.batch_size]))
        report_progress(min(start + config.batch_size, len(texts)), len(texts), "row")
    matrix = np.concatenate(blocks or [np.empty((0, 0), np.float32)])
    columns = table.drop_columns([EMBEDDING] if EMBEDDING in table.column_names else [])
    write_embeddings(output, columns, matrix, {**tower.fingerprint, WIDTH: matrix.shape[1]}, subject=TEXT)


def _texts(table: Any, source: Path) -> list[str]:
    texts: list[str] = table.column(TEXT).to_pylist()
    for row, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise InputRefused(f"row {row} holds no text ({text!r})", value=source)
    return texts
