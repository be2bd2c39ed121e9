"""Check one training table by hand: its rows, its images, and what it shares with the validation table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from deft.progress import Progress
from deft.workspace.image_columns import resolve_images
from deft.workspace.layout import Workspace
from deft.workspace.leakage import LeakageReport, Side, assert_disjoint, find_overlaps
from deft.workspace.listing import Listing
from deft.workspace.rows import ImageLayout, read_table
from deft.workspace.safe_path import Roots


def validate_table(
    csv: Path,
    workspace_root: Path,
    validation_csv: Path | None = None,
    light: str | None = "SolderLight",
    image_ext: str = ".jpg",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the report of a sound table: rows, labels, image root, overlaps with the validation table.

    Each table may name its images from the workspace (a combined table) or from its images folder; the first
    row tells. Refused: what `read_table` refuses, a missing image or golden, and an image, known by content,
    that both tables hold.
    """
    workspace = Workspace.at(workspace_root)
    layout = ImageLayout.from_flags(light, image_ext)
    table, root = _read(csv, workspace, layout)
    leakage = LeakageReport()
    if validation_csv is not None:
        held_out, held_out_root = _read(validation_csv, workspace, layout)
        train = Side.of_table("train", table, root, layout)
        validation = Side.of_table("validation", held_out, held_out_root, layout)
        leakage = find_overlaps([train, validation], progress=progress)
        assert_disjoint(leakage)
    labels = table["label"].value_counts().sort_index()
    return {
        "status": "ok",
        "training_csv": str(csv),
        "validation_csv": str(validation_csv) if validation_csv else None,
        "images_dir": str(root),
        "rows_checked": len(table),
        "labels": {str(label): int(count) for label, count in labels.items()},
        "missing_file_count": 0,
        "train_val_leakage_overlap_count": len(leakage.identical),
        "leakage": leakage.record() if validation_csv else None,
    }


def _read(csv: Path, workspace: Workspace, layout: ImageLayout) -> tuple[pd.DataFrame, Path]:
    table = read_table(csv, images=layout)
    root = _image_root(table, workspace, layout)
    resolve_images(table, root, layout)
    return table, root


def _image_root(table: pd.DataFrame, workspace: Workspace, layout: ImageLayout) -> Path:
    first, listing = table.head(1).to_dict("records")[0], Listing(Roots.of_workspace(workspace))
    for root in (workspace.root, workspace.images):
        paths = (*layout.input_images(first, root), *layout.golden_images(first, root))
        if all(listing.has_file(str(path)) for path in paths):
            return root
    return workspace.root
