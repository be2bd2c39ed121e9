"""The production end: score new pairs with a handed-over model, judge them, and notice drift."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from deft import files
from deft.errors import Corruption, InputRefused
from deft.metrics.operating_points import Floats
from deft.platforms.base import ToolCall
from deft.platforms.registry import platform_named
from deft.progress import Progress
from deft.run.evaluation import SCORES, require_every_score
from deft.schemas import schema, validate
from deft.workspace.image_columns import resolve_images
from deft.workspace.layout import RunFolder
from deft.workspace.pairs import pair_stems
from deft.workspace.rows import COLUMNS, ImageLayout, read_table, write_table
from deft.workspace.spreadsheets import for_people

BATCH_SIZE = 96
DRIFT_CONFIDENCE = 1.63  # Kolmogorov–Smirnov, 1 % level: distance times the square root of the effective size
SMALLEST_DRIFT = 0.1
MIN_ROWS_FOR_DRIFT = 50
Record = dict[str, Any]
WRITE_AGAIN = "--model RUN/best_model.json; deft prepare-inference-spec --results-dir RUN writes it"
UNCHECKED = {
    "checkpoint_sha256": "the checkpoint was not verified",
    "pass_score_quantiles": "drift cannot be noticed",
}
"""What a model's record may lack (the original's does), and what is then not known."""


@dataclass(frozen=True)
class Model:
    """A handed-over model: its record, its spec, and how its images are named."""

    record: Record
    spec: Path
    layout: ImageLayout

    @classmethod
    def read(cls, path: Path) -> Model:
        """Read `best_model.json` and the spec beside it; a checkpoint that is another is corruption."""
        record = _read_record(path)
        _require_checkpoint(record, path)
        path = path.with_name(RunFolder(path.parent).inference_spec.name)
        spec = files.read_yaml(path)
        if not isinstance(spec, dict):
            raise InputRefused("inference spec is not a mapping of keys", value=path, hint=WRITE_AGAIN)
        return cls(record, path, ImageLayout.from_spec(spec))

    @property
    def notes(self) -> list[str]:
        """Say what could not be checked, because the record lacks what it is checked against."""
        missing = [name for name in UNCHECKED if name not in self.record]
        return [f"best_model.json lacks {name}: {UNCHECKED[name]}" for name in missing]


def _read_record(path: Path) -> Record:
    """Read what the user named as a model; anything but a hand-over with a finite threshold is refused."""
    try:
        record = files.read_json(path)
        if not isinstance(record, dict):
            raise Corruption("file is not a mapping of keys")
        missing = [name for name in schema("handoff")["required"] if name not in record]
        if missing:
            raise Corruption(f"record lacks {', '.join(missing)}")
        validate(record, "handoff")
        if not math.isfinite(record["threshold"]):  # every comparison with NaN passes the part
            raise Corruption("threshold is not a finite number")
    except Corruption as fault:  # of a file that a user chose, not of one that deft keeps
        said = fault.fact if fault.value in (None, path) else f"{fault.fact}: {fault.value}"
        raise InputRefused(f"not a handed-over model: {said}", value=path, hint=WRITE_AGAIN) from None
    return cast(Record, record)


def _require_checkpoint(record: Record, path: Path) -> None:
    """Refuse a checkpoint that is gone or another; without its hash it is taken as it is."""
    checkpoint = Path(record["checkpoint"])
    if not checkpoint.is_file():
        raise InputRefused(
            "checkpoint of the model is gone",
            value=checkpoint,
            hint=f"put it back, or write where it is now as `checkpoint` into {path}",
        )
    recorded = record.get("checkpoint_sha256")
    if recorded is not None and files.sha256_of_file(checkpoint) != recorded:
        raise Corruption(
            "checkpoint is not the one that was handed over",
            value=checkpoint,
            hint="restore it from a backup; deft audit RUN names what else has changed",
        )


def score_table(
    source: Path, images: Path, model: Model, output: Path, *, platform: str, progress: Progress
) -> Record:
    """Score the rows of a table under an image root; write scores and verdicts, return what they say."""
    table = read_table(source)
    resolve_images(table, images, model.layout)
    with tempfile.TemporaryDirectory(prefix="deft-") as folder:
        scored = _infer(write_table(Path(folder) / "rows.csv", table), images, model, platform, progress)
    threshold = float(model.record["threshold"])
    verdict = np.where(scored["siamese_score"] > threshold, "NO_PASS", "PASS")
    files.write_csv(output, for_people(scored.assign(verdict=verdict)))
    rejected = int((verdict == "NO_PASS").sum())
    return {
        "status": "scored",
        "rows": len(scored),
        "rejected": rejected,
        "threshold": threshold,
        "scores": str(output),
        "drift": drift(scored["siamese_score"].to_numpy(), model.record),
        "notes": model.notes,
    }


def score_folders(
    images: Path, goldens: Path, model: Model, output: Path, *, platform: str, progress: Progress
) -> Record:
    """Score image files paired by stem with golden files; lights other than one need a table."""
    if len(model.layout.lights) > 1:
        raise InputRefused(
            "model looks at several lights; give a table of rows", value=", ".join(model.layout.lights)
        )
    pairs = pair_stems(images, goldens)
    with tempfile.TemporaryDirectory(prefix="deft-") as folder:
        root = Path(folder)
        for side in ("input", "golden"):
            (root / side).mkdir()
        for pair in pairs:
            ending = model.layout.endings[0]
            _put(pair.ng, root / "input" / f"{pair.stem}{ending}")
            _put(pair.ok, root / "golden" / f"{pair.stem}{ending}")
        rows = [{"input_path": "input", "golden_path": "golden", "object_name": pair.stem} for pair in pairs]
        table = pd.DataFrame(rows).assign(label="unknown").reindex(columns=COLUMNS, fill_value="")
        source = write_table(root / "images.csv", table)
        return score_table(source, root, model, output, platform=platform, progress=progress)


def _put(source: Path, place: Path) -> None:
    """Give a picture the name that the model's layout wants, without copying it where that can be had."""
    try:
        os.link(source.resolve(), place)
    except OSError:  # another file system, or none with hard links
        shutil.copyfile(source, place)


def _infer(table: Path, images: Path, model: Model, platform: str, progress: Progress) -> pd.DataFrame:
    results = table.parent / "results"
    rows = len(read_table(table))
    call = ToolCall(
        category="visual_changenet",
        action="inference",
        spec=model.spec,
        overrides={
            "inference.checkpoint": model.record["checkpoint"],
            "inference.results_dir": results,
            "dataset.classify.batch_size": min(BATCH_SIZE, rows),
            "dataset.classify.infer_dataset.csv_path": table,
            "dataset.classify.infer_dataset.images_dir": images,
        },
        reads=(images,),
        writes=results,
        log=results / "inference.log",
        title="score",
    )
    platform_named(platform).run([call], progress)
    require_every_score(results / SCORES, table)
    scored = files.read_csv(results / SCORES)
    return scored.assign(siamese_score=pd.to_numeric(scored["siamese_score"]))


def drift(scores: Floats, model: Record) -> Record:
    """Compare the accepted scores with the KPI set's PASS scores; a warning where they differ for sure.

    The distance is Kolmogorov–Smirnov's over scores at or below the threshold, so a changed share of
    defects is no drift. It warns above the 1 % level and only from a distance that matters.
    """
    threshold = float(model["threshold"])
    expected = np.asarray(model.get("pass_score_quantiles", []), dtype=float)
    expected = expected[expected <= threshold]
    accepted = np.sort(scores[scores <= threshold])
    if len(accepted) < MIN_ROWS_FOR_DRIFT or len(expected) < 2:
        return {"distance": None, "warning": "", "rows": len(accepted)}
    grid = np.concatenate([accepted, expected])
    ours = np.searchsorted(accepted, grid, side="right") / len(accepted)
    theirs = np.interp(grid, expected, np.linspace(0, 1, len(expected)), left=0.0, right=1.0)
    distance = float(np.abs(ours - theirs).max())
    certain = distance * np.sqrt(len(accepted)) > DRIFT_CONFIDENCE and distance > SMALLEST_DRIFT
    warning = (
        f"scores of accepted parts have drifted from the KPI set's (distance {distance:.2f}): "
        "the threshold may no longer hold; evaluate on fresh labelled rows"
    )
    return {"distance": round(distance, 4), "warning": warning if certain else "", "rows": len(accepted)}
