"""The manifest of a finished stage: every file it wrote, so that a later change shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet

from deft import files
from deft.errors import Corruption
from deft.schemas import validate

MANIFEST = "manifest.json"
Record = dict[str, Any]


def write_manifest(folder: Path, record: Record, *, without: tuple[str, ...] = ()) -> Record:
    """Write `manifest.json`: the record, then path, sha256, size and rows of every file below the folder.

    `without` names files at the top of the folder that do not belong to its content. Logs are left out too:
    they tell how the work went, a resumed attempt's is longer, and no figure is read from them.
    """
    left_out = {folder / name for name in (MANIFEST, *without)}
    kept = [path for path in files.files_below(folder) if path not in left_out and path.suffix != ".log"]
    entries = [_file_entry(path, folder) for path in kept]
    manifest = {**record, "files": entries}
    validate(manifest, "manifest")
    files.write_json(folder / MANIFEST, manifest)
    return manifest


def _file_entry(path: Path, folder: Path) -> Record:
    entry: Record = {
        "path": path.relative_to(folder).as_posix(),
        "sha256": files.sha256_of_file(path),
        "size": path.stat().st_size,
    }
    rows = _rows(path)
    return entry if rows is None else {**entry, "rows": rows}


def _rows(path: Path) -> int | None:
    if path.suffix == ".parquet":
        return int(pyarrow.parquet.ParquetFile(path).metadata.num_rows)
    return None


def verify_manifest(folder: Path, *, removed: frozenset[Path] = frozenset()) -> Record:
    """Read a stage's manifest and check every file it names; the first difference is corruption.

    A file in `removed` may be absent: a `clean` note says why.
    """
    manifest: Record = files.read_json(folder / MANIFEST)
    validate(manifest, "manifest")
    for entry in manifest["files"]:
        path = folder / entry["path"]
        if not path.is_file():
            if path in removed:
                continue
            raise Corruption(
                "file of a finished stage is gone",
                value=f"{path} (recorded {entry['sha256'][:12]})",
                hint=RESTORE,
            )
        found = files.sha256_of_file(path)
        if found != entry["sha256"]:
            raise Corruption(
                "file of a finished stage was changed",
                value=f"{path}: recorded {entry['sha256'][:12]}, found {found[:12]}",
                hint=RESTORE,
            )
    return manifest


RESTORE = "restore the file from a backup, or deft preflight for a new run"


def manifest_evidence(folder: Path, name: str) -> Record:
    """Return the log's evidence of a stage: its manifest, under the folder's recorded name."""
    content = (folder / MANIFEST).read_bytes()
    return {
        "path": f"{name}/{MANIFEST}",
        "sha256": files.sha256_of_bytes(content),
        "size": len(content),
    }
