"""Build a new workspace beside its place and move it there whole: it exists complete or not at all."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from deft.errors import StateConflict
from deft.files import sync_folder
from deft.workspace.layout import Workspace
from deft.workspace.rows import write_table


@contextmanager
def new_workspace(target: Path) -> Iterator[Workspace]:
    """Yield a workspace under construction; on success it becomes `target`, else nothing remains.

    A target that holds anything is a StateConflict. The files are flushed once, together: a flush for each
    of thousands of small pictures would take longer than drawing them.
    """
    target = require_vacant(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    site = target.with_name(f".{target.name}.{os.getpid()}.building")
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir()
    try:
        yield Workspace(site)
        os.sync()
        site.rename(target)
    except BaseException:
        shutil.rmtree(site, ignore_errors=True)
        raise
    sync_folder(target.parent)


def require_vacant(target: Path) -> Path:
    """Return the real path of a folder that does not exist or is empty; refuse any other."""
    target = target.expanduser().resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StateConflict(
            "a new workspace needs a folder that is empty or does not exist yet",
            value=target,
            hint="name another folder, or move this one away",
        )
    return target


def encode_image(picture: npt.NDArray[np.uint8], form: str = "JPEG") -> bytes:
    """Return a picture (height, width, 3) as the bytes of a JPEG at quality 95 or of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, form, **({"quality": 95} if form == "JPEG" else {}))
    return buffer.getvalue()


def place_image(path: Path, content: bytes) -> None:
    """Put one image into a workspace under construction; `new_workspace` flushes them together."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


# --- where a split's rows and pictures go ----------------------------------------------------

POOL = "pool"
CAMERA = "Camera"  # the light of imported pictures that name none


def images_folder(workspace: Workspace, split: str) -> Path:
    """Return where a split's pictures go: the pool's beside its table, all others with the KPI images."""
    return workspace.mining_pool / "images" if split == POOL else workspace.root / "kpi" / "images"


def row_prefix(split: str) -> str:
    """Return what a split's table puts before a picture's folder: pool paths start at the pool."""
    return "images/" if split == POOL else ""


def write_tables(workspace: Workspace, rows: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
    """Write the table of each split: train, validation, kpi, holdout (optional) and pool."""
    paths = {
        "train": workspace.training_table,
        "validation": workspace.validation_table,
        "kpi": workspace.kpi_table,
        "holdout": workspace.holdout_table,
        POOL: workspace.mining_pool_table,
    }
    for split, split_rows in rows.items():
        write_table(paths[split], pd.DataFrame(list(split_rows)))
