"""A platform whose tools answer in milliseconds: deterministic scores and vectors from image content.

Gap analysis is the real tool; training, inference and embedding are stand-ins that write the same files.
A training "knows" the labels it was given, so that more rows of a defect type raise its scores.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from deft import files
from deft.embedding.sets import write_embeddings
from deft.errors import StageFailed
from deft.platforms.base import Check, Platform, ToolCall
from deft.progress import Progress
from deft.tools.__main__ import main as run_tool
from deft.workspace.checkpoints import checkpoint_name
from deft.workspace.rows import PASS, ImageLayout, read_table

WIDTH = 8


class StubPlatform(Platform):
    """Answers tool calls in this process and remembers them; `before` may fail or kill first."""

    name: ClassVar[str] = "embedded"
    default_encoder: ClassVar[str] = "deft_pair"

    def __init__(
        self,
        before: Callable[[ToolCall], None] = lambda call: None,
        losses: tuple[float, ...] = (1.0, 0.5),
    ) -> None:
        self.calls: list[ToolCall] = []
        self.before = before
        self.losses = losses

    def checks(self, workspace: Path) -> list[Check]:
        return [Check("stub", True, "always there")]

    def run(self, calls: Sequence[ToolCall], progress: Progress) -> None:
        answers = {
            "visual_changenet train": lambda call: _train(call, self.losses),
            "visual_changenet inference": _infer,
            "gap_analysis vcn_aoi": _gap_analysis,
            "embedding image_embeddings": _embed,
        }
        for call in calls:
            self.before(call)
            self.calls.append(call)
            call.log.parent.mkdir(parents=True, exist_ok=True)
            answers[call.name](call)


def _train(call: ToolCall, losses: tuple[float, ...]) -> None:
    spec = files.read_yaml(call.spec)
    rows = read_table(Path(spec["dataset"]["classify"]["train_dataset"]["csv_path"]))
    known = rows["label"].value_counts().to_dict()
    lines = []
    start = spec["train"].get("pretrained_model_path")
    origin = files.sha256_of_file(Path(start)) if start else None
    for epoch, loss in enumerate(losses):
        weights = {"known": {str(k): int(v) for k, v in known.items()}, "epoch": epoch, "from": origin}
        files.write_json(call.writes / checkpoint_name(epoch, 10 * (epoch + 1)), weights)
        kpi = {"val_loss": loss / len(rows)}
        lines.append({"message": "Eval metrics generated.", "epoch": epoch, "kpi": kpi})
    files.write_text(call.writes / "status.json", "".join(json.dumps(line) + "\n" for line in lines))
    files.write_text(call.log, "Execution status: PASS\n")


def _infer(call: ToolCall) -> None:
    named = (
        call.overrides.get("inference.checkpoint") or files.read_yaml(call.spec)["inference"]["checkpoint"]
    )
    checkpoint = files.read_json(Path(str(named)))
    prefix = "dataset.classify.infer_dataset"
    table = read_table(Path(str(call.overrides[f"{prefix}.csv_path"])))
    layout = ImageLayout.from_spec(files.read_yaml(call.spec))
    images = Path(str(call.overrides[f"{prefix}.images_dir"]))
    scores = [
        _score(layout.input_images(row, images)[0], row["label"], checkpoint["known"])
        for row in table.to_dict("records")
    ]
    folder = Path(str(call.overrides["inference.results_dir"]))
    files.write_csv(folder / "inference.csv", table.assign(siamese_score=np.float32(scores)))
    files.write_text(call.log, "Execution status: PASS\n")


def _score(image: Path, label: str, known: dict[str, int]) -> float:
    noise, oddness = _numbers(image)[:2]
    if label == PASS and oddness > 0.9:
        return 0.5 + 0.5 * noise  # a good part that no training makes look good
    if label == PASS:
        return 0.5 * noise / (1 + known.get(PASS, 0) / 20)
    learned = known.get(label, 0) / (known.get(label, 0) + 4)
    return 0.02 + 0.3 * noise + 0.6 * learned


def _numbers(image: Path) -> np.ndarray:
    digest = hashlib.sha256(image.read_bytes()).digest()
    return np.frombuffer(digest[:WIDTH], dtype=np.uint8).astype(np.float32) / 255


def _gap_analysis(call: ToolCall) -> None:
    if run_tool(call.arguments()) != 0:
        raise StageFailed("gap analysis failed", value=call.log, hint=f"read {call.log}")
    files.write_text(call.log, "Execution status: PASS\n")


def _embed(call: ToolCall) -> None:
    table = pa.parquet.ParquetFile(Path(str(call.overrides["input_parquet"]))).read()
    vectors = np.stack([_numbers(Path(path)) for path in table.column("filepath").to_pylist()])
    spec = files.read_yaml(call.spec)
    write_embeddings(
        Path(str(call.overrides["output_parquet"])), table, vectors, {"model": spec["model"], "width": WIDTH}
    )
    files.write_text(call.log, "Execution status: PASS\n")


def read_frame(path: Path) -> pd.DataFrame:
    """Return a Parquet file as a frame."""
    return pd.read_parquet(path)
