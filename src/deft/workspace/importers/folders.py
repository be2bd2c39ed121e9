"""Turn golden and test folders with a table of labels into a workspace, split by board."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from deft import files
from deft.errors import UsageError
from deft.progress import NullProgress, Progress
from deft.workspace.baseline_spec import BATCH_SIZE, write_baseline_spec
from deft.workspace.construction import (
    CAMERA,
    POOL,
    encode_image,
    images_folder,
    new_workspace,
    place_image,
    require_vacant,
    row_prefix,
    write_tables,
)
from deft.workspace.images import open_image
from deft.workspace.importers.folders_source import Columns, Component, read_components
from deft.workspace.importers.group_split import split_by_group
from deft.workspace.importers.pasted_defects import DEFECT, paste_patch
from deft.workspace.layout import Workspace
from deft.workspace.pairs import pair_stems
from deft.workspace.rows import PASS
from deft.workspace.safe_path import Roots
from deft.workspace.spreadsheets import for_people

MADE_BY = "deft import folders"
IMPORTER_VERSION = 1
SHARES = {"train": 0.15, "validation": 0.15, "kpi": 0.25, "holdout": 0.15}
REQUIRED_SPLITS = ("train", "validation", "kpi")
PASTED_SHARE, PASTED_LEAST = 0.10, 8
SMALLEST_SIDE, LARGEST_SIDE, SIDE_STEP = 64, 128, 16
KEPT_EXTENSIONS = {".jpg": ".jpg", ".jpeg": ".jpg", ".png": ".png", ".bmp": ".bmp"}
NO_COLUMNS = Columns()


@dataclass(frozen=True)
class Pregenerated:
    """Folders of synthetic pairs that the user already has: defective pictures, their good originals."""

    reconstructed: Path
    original: Path


def import_folders(
    golden_dir: Path,
    test_dir: Path,
    labels_csv: Path,
    workspace: Path,
    *,
    seed: int = 0,
    shares: Mapping[str, float] = SHARES,
    columns: Columns = NO_COLUMNS,
    lights: Sequence[str] = (),
    pass_label: str = PASS,
    pregenerated: Pregenerated | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a workspace at an empty or absent folder; the pool gets the rows that `shares` leave.

    Test and golden pictures share their names; with `lights` a name ends in `_<light>`. Rows of one board
    (without a board column: with the same golden picture) stay in one split. Pictures keep their size and, if
    all have one format, their bytes. Without `pregenerated` pairs, stand-ins are pasted from good pool parts.
    """
    require_vacant(workspace)
    pool_share = _pool_share(shares)
    components = read_components(
        golden_dir, test_dir, labels_csv, columns=columns, lights=lights, pass_label=pass_label
    )
    is_defect = [component.label != PASS for component in components]
    groups = [component.group for component in components]
    splits = split_by_group(groups, is_defect, {**shares, POOL: pool_share}, seed)
    with new_workspace(workspace) as site:
        extension = _extension(components)
        names = tuple(lights) or (CAMERA,)
        _file_pictures(site, components, splits, names, extension, progress or NullProgress())
        write_tables(site, _tables(components, splits))
        pasted = _fill_synthetic(site, components, splits, seed, pregenerated)
        grouped_by = f"column {columns.board}" if columns.board else "content of the golden picture"
        record = {"seed": seed, "grouped_by": grouped_by, "shares": dict(shares), "pasted_pairs": pasted}
        _write_provenance(site, components, splits, record)
        write_baseline_spec(
            site,
            workspace.expanduser().resolve(),
            lights=names,
            extension=extension,
            size=_input_size(components),
            batch_size=min(BATCH_SIZE, *(splits.count(name) for name in shares if name in splits)),
        )


def _pool_share(shares: Mapping[str, float]) -> float:
    unknown = sorted(set(shares) - set(SHARES))
    if unknown:
        raise UsageError(f"unknown split (splits are {', '.join(SHARES)})", value=", ".join(unknown))
    rest = 1 - sum(shares.values())
    empty = [name for name in REQUIRED_SPLITS if not shares.get(name)]
    in_range = all(0 <= share < 1 for share in shares.values())  # false for a share that is no number
    if empty or not in_range or rest <= 0:
        raise UsageError(
            "shares are fractions from 0 to 1; train, validation and kpi must be above 0 and leave something "
            "for the pool",
            value=", ".join(f"{name}={share}" for name, share in shares.items()),
        )
    return rest


# --- pictures --------------------------------------------------------------------------------


def _extension(components: Sequence[Component]) -> str:
    """Return the extension of all pictures if they have one, else `.png`, which loses nothing."""
    found = {
        KEPT_EXTENSIONS.get(path.suffix.lower(), "") for c in components for path in (*c.tests, *c.goldens)
    }
    return found.pop() or ".png" if len(found) == 1 else ".png"


def _file_pictures(
    workspace: Workspace,
    components: Sequence[Component],
    splits: Sequence[str],
    lights: Sequence[str],
    extension: str,
    progress: Progress,
) -> None:
    with progress.task("copy pictures", total=len(components), unit="component") as task:
        for component, split in zip(components, splits, strict=True):
            images = images_folder(workspace, split)
            for folder, paths in (("test", component.tests), ("golden", component.goldens)):
                for light, path in zip(lights, paths, strict=True):
                    place_image(
                        images / folder / f"{component.name}_{light}{extension}", _content(path, extension)
                    )
            task.advance()


def _content(path: Path, extension: str) -> bytes:
    """Return a picture's bytes, read whole once so that a broken one is refused here, not in training."""
    roots = Roots.of(path.parent)
    picture = open_image(path, roots)
    if KEPT_EXTENSIONS.get(path.suffix.lower()) == extension:
        return roots.read_for_copy(path)
    return encode_image(np.asarray(picture), "PNG")


def _input_size(components: Sequence[Component]) -> tuple[int, int]:
    """Return (width, height) for training: the middle component's, in steps of 16 between 64 and 128."""
    picture = open_image(components[len(components) // 2].tests[0])

    def bounded(side: int) -> int:
        return min(max(round(side / SIDE_STEP) * SIDE_STEP, SMALLEST_SIDE), LARGEST_SIDE)

    return bounded(picture.width), bounded(picture.height)


# --- synthetic pairs -------------------------------------------------------------------------


def _fill_synthetic(
    workspace: Workspace,
    components: Sequence[Component],
    splits: Sequence[str],
    seed: int,
    pregenerated: Pregenerated | None,
) -> int:
    """Copy the user's pairs, or paste stand-ins; return how many were pasted."""
    if pregenerated is None:
        pool = [c for c, split in zip(components, splits, strict=True) if split == POOL and c.label == PASS]
        wanted = max(PASTED_LEAST, round(PASTED_SHARE * splits.count(POOL)))
        return _paste_pairs(workspace, pool, wanted, seed)
    for pair in pair_stems(pregenerated.reconstructed, pregenerated.original):
        for source, folder in (
            (pair.ng, workspace.reconstructed_images),
            (pair.ok, workspace.original_images),
        ):
            place_image(folder / source.name, Roots.of(source.parent).read_for_copy(source))
    return 0


def _paste_pairs(workspace: Workspace, pool: Sequence[Component], wanted: int, seed: int) -> int:
    rng = np.random.default_rng([seed, 1])
    made = 0
    for attempt in range(2 * wanted):
        component = pool[int(rng.integers(len(pool)))]
        pasted = paste_patch(rng, np.asarray(open_image(component.tests[0])))
        if pasted is None or made == wanted:
            continue
        stem = f"{component.name}+{DEFECT}_{attempt}"
        golden = np.asarray(open_image(component.goldens[0]))
        place_image(workspace.reconstructed_images / f"{stem}.png", encode_image(pasted, "PNG"))
        place_image(workspace.original_images / f"{stem}.png", encode_image(golden, "PNG"))
        made += 1
    return made


# --- tables ----------------------------------------------------------------------------------


def _tables(components: Sequence[Component], splits: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    tables: dict[str, list[dict[str, str]]] = {}
    for component, split in zip(components, splits, strict=True):
        prefix = row_prefix(split)
        row = {
            "input_path": f"{prefix}test",
            "golden_path": f"{prefix}golden",
            "label": component.label,
            "object_name": component.name,
            "boardname": component.group,
        }
        tables.setdefault(split, []).append(row)
    return tables


def _write_provenance(
    workspace: Workspace, components: Sequence[Component], splits: Sequence[str], record: dict[str, object]
) -> None:
    counts: dict[str, Counter[str]] = {}
    boards: dict[str, set[str]] = {}
    for component, split in zip(components, splits, strict=True):
        counts.setdefault(split, Counter())[component.label] += 1
        boards.setdefault(split, set()).add(component.group)
    summary = {
        "made_by": MADE_BY,
        "importer_version": IMPORTER_VERSION,
        **record,
        "counts": {split: dict(sorted(labels.items())) for split, labels in sorted(counts.items())},
        "boards": {split: len(names) for split, names in sorted(boards.items())},
    }
    files.write_json(workspace.provenance, summary)
    rows = [
        {
            "split": split,
            "component": f"test/{c.name}",
            "label": c.label,
            "board": c.group,
            "source": c.tests[0].name,
        }
        for c, split in zip(components, splits, strict=True)
    ]
    files.write_csv(workspace.provenance.with_suffix(".csv"), for_people(pd.DataFrame(rows)))
