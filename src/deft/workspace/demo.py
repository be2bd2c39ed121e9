"""Draw a whole workspace of a made-up factory, ready for the loop; everything follows from the seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deft import files
from deft.progress import NullProgress, Progress
from deft.workspace.baseline_spec import write_baseline_spec
from deft.workspace.construction import (
    encode_image,
    images_folder,
    new_workspace,
    place_image,
    row_prefix,
    write_tables,
)
from deft.workspace.drawing import inspection, optics
from deft.workspace.drawing.canvas import Array
from deft.workspace.drawing.factory import QUICK_SHARE, SPLITS, SYNTHETIC, Inspected, plan_factory
from deft.workspace.layout import Workspace
from deft.workspace.rows import PASS, ImageLayout

MADE_BY = "deft demo"
GENERATOR_VERSION = 1
LAYOUT = ImageLayout(("SolderLight",), ".jpg")
PICTURE_SEED = 1


def draw_workspace(
    root: Path, *, seed: int = 0, quick: bool = False, progress: Progress | None = None
) -> None:
    """Draw a workspace at `root`, which must be empty or absent; `quick` draws about a third of it.

    The same seed gives the same bytes. A drawn defect always differs visibly from the same picture without
    it; how far is written to `provenance.csv`, one line a row.
    """
    splits = [split.scaled(QUICK_SHARE) if quick else split for split in SPLITS]
    plan = plan_factory(seed, splits)
    with (
        new_workspace(root) as workspace,
        (progress or NullProgress()).task("draw the workspace", total=len(plan), unit="row") as task,
    ):
        studio = Studio(workspace, seed)
        for number, row in enumerate(plan):
            studio.inspect(row, number)
            task.advance()
        write_tables(workspace, _table_rows(studio.records))
        _write_provenance(workspace, studio.records, {"seed": seed, "quick": quick})
        write_baseline_spec(workspace, root.expanduser().resolve(), lights=LAYOUT.lights)


@dataclass
class Studio:
    """Where pictures are taken and filed; `records` collects one entry a row."""

    workspace: Workspace
    seed: int
    records: list[dict[str, Any]] = field(default_factory=list)
    noise: Array = field(init=False)
    _goldens: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.noise = optics.noise_bank(np.random.default_rng(self.seed))

    def inspect(self, row: Inspected, number: int) -> None:
        """Take and file the pictures of one row and record it."""
        rng = np.random.default_rng([self.seed, PICTURE_SEED, number])
        if row.split == SYNTHETIC:
            seen: inspection.Visibility | None = self._file_synthetic_pair(rng, row)
        else:
            seen = self._file_row(rng, row)
        self.records.append({"row": row, "visibility": seen})

    def _file_row(self, rng: np.random.Generator, row: Inspected) -> inspection.Visibility | None:
        images = images_folder(self.workspace, row.split)
        named = {"object_name": row.object_name, "input_path": row.folder, "golden_path": row.golden_folder}
        if row.golden_folder not in self._goldens:
            self._goldens.add(row.golden_folder)
            golden = inspection.golden_picture(row.place, self.noise)
            place_image(LAYOUT.golden_images(named, images)[0], encode_image(golden))
        seen = None
        if row.defect is None:
            picture = inspection.good_picture(rng, row.place, self.noise)
        else:
            picture, _, seen = inspection.defect_pictures(rng, row.place, row.defect, self.noise)
        place_image(LAYOUT.input_images(named, images)[0], encode_image(picture))
        return seen

    def _file_synthetic_pair(self, rng: np.random.Generator, row: Inspected) -> inspection.Visibility:
        assert row.defect is not None
        style = inspection.GENERATOR
        bad, _, seen = inspection.defect_pictures(rng, row.place, row.defect, self.noise, style)
        good = inspection.good_picture(rng, row.place, self.noise, style)
        stem = synthetic_stem(row)
        place_image(self.workspace.reconstructed_images / f"{stem}.png", encode_image(bad, "PNG"))
        place_image(self.workspace.original_images / f"{stem}.jpg", encode_image(good))
        return seen


def synthetic_stem(row: Inspected) -> str:
    """Return the stem of a pre-generated pair: `<id>+<defect>_<n>`."""
    return f"{row.board}_{row.designator}+{row.defect}_{row.unit}"


# --- tables ----------------------------------------------------------------------------------


def _table_rows(records: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, str]]]:
    rows: dict[str, list[dict[str, str]]] = {}
    for record in records:
        row = record["row"]
        if row.split != SYNTHETIC:
            rows.setdefault(row.split, []).append(_table_row(row, row_prefix(row.split)))
    return rows


def _table_row(row: Inspected, prefix: str) -> dict[str, str]:
    part = row.place.part
    return {
        "input_path": prefix + row.folder,
        "golden_path": prefix + row.golden_folder,
        "label": row.defect or PASS,
        "object_name": row.object_name,
        "project": "demo",
        "boardname": row.board,
        "comp_type_2": part.kind,
        "mpass_mfail": "mfail" if row.defect else "mpass",
        "is_valid": "1",
        "comp_name": row.designator,
        "part_type": part.kind,
        "number_of_pins": str(part.pins),
        "description": f"{part.kind} on {row.place.ground.mask} mask under {row.place.lighting}",
        "comp_type_1": part.kind,
    }


# --- provenance ------------------------------------------------------------------------------


def _write_provenance(
    workspace: Workspace, records: Sequence[dict[str, Any]], call: dict[str, object]
) -> None:
    """Write `provenance.json` (how it was made, counts) and `provenance.csv` (what each row shows)."""
    seen = [record["visibility"] for record in records if record["visibility"] is not None]
    files.write_json(
        workspace.provenance,
        {
            "made_by": MADE_BY,
            **call,
            "generator_version": GENERATOR_VERSION,
            "counts": _counts(records),
            "visibility": {
                "contrast_limit": inspection.CONTRAST_LIMIT,
                "floor": {"pixels": inspection.FLOOR_PIXELS, "contrast": inspection.FLOOR_CONTRAST},
                "weakest": {
                    "pixels": min(v.pixels for v in seen),
                    "contrast": min(v.contrast for v in seen),
                },
                "rows": len(seen),
            },
        },
    )
    table = pd.DataFrame([_provenance_row(record) for record in records])
    files.write_csv(workspace.provenance.with_suffix(".csv"), table)


def _counts(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for record in records:
        row = record["row"]
        counts.setdefault(row.split, Counter())[row.defect or PASS] += 1
    return {split: dict(sorted(labels.items())) for split, labels in counts.items()}


def _provenance_row(record: dict[str, Any]) -> dict[str, object]:
    row, seen = record["row"], record["visibility"]
    return {
        "split": row.split,
        "component": synthetic_stem(row) if row.split == SYNTHETIC else f"{row.folder}/{row.object_name}",
        "label": row.defect or PASS,
        "board": row.board,
        "kind": row.place.part.kind,
        "condition": row.place.lighting,
        "mask": row.place.ground.mask,
        "visible_pixels": seen.pixels if seen else "",
        "visible_contrast": seen.contrast if seen else "",
    }
