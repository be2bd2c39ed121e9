"""Pre-generated pairs: a defective picture and its defect-free original, matched by stem and staged as rows.

Two flat folders hold one picture a stem; the extensions may differ. What has no partner, or two of them,
stops the work: a pair that is dropped in silence is a defect that is never learned.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from deft import files
from deft.errors import InputRefused, StateConflict, UsageError
from deft.file_batch import FileBatch
from deft.progress import NullProgress, Progress
from deft.workspace.defect_types import EXTENSIONS, defect_types
from deft.workspace.images import image_of
from deft.workspace.rows import ImageLayout, can_stand_in_a_row, normalise_label, write_table
from deft.workspace.safe_path import Roots

SYSTEM_FILES = ("Thumbs.db", "desktop.ini")
LISTED = 10
JPEG_QUALITY = 95
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
MAGIC = {"JPEG": (b"\xff\xd8\xff",), "PNG": (b"\x89PNG",), "BMP": (b"BM",), "TIFF": (b"II*\0", b"MM\0*")}


@dataclass(frozen=True)
class Pair:
    """One stem with its defective and its defect-free picture."""

    stem: str
    ng: Path
    ok: Path


# --- pairing ---------------------------------------------------------------------------------


def pair_stems(reconstructed: Path, original: Path) -> list[Pair]:
    """Pair two flat folders of pictures by stem, sorted by stem.

    Refused: a missing or empty folder, a folder or foreign file inside, a stem that stands twice or on one
    side only (up to ten are listed), a stem that cannot stand in a table.
    """
    defective, defect_free = _pictures(reconstructed), _pictures(original)
    unpaired = sorted(defective.keys() ^ defect_free.keys())
    if unpaired:
        raise InputRefused(
            f"{len(unpaired)} picture(s) of {reconstructed} and {original} have no partner",
            value=_listed(unpaired),
            hint="the two folders must hold the same stems; extensions may differ",
        )
    return [Pair(stem, defective[stem], defect_free[stem]) for stem in sorted(defective)]


def _pictures(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputRefused("folder of pre-generated pictures does not exist", value=folder)
    entries = [entry for entry in sorted(folder.iterdir()) if not _is_system_file(entry.name)]
    foreign = [entry.name for entry in entries if not _is_picture(entry)]
    if foreign:
        raise InputRefused(
            f"{folder} holds {len(foreign)} entries that are no picture",
            value=_listed(foreign),
            hint=f"keep only {', '.join(EXTENSIONS)} files there, in no subfolder",
        )
    if not entries:
        raise InputRefused("folder of pre-generated pictures is empty", value=folder)
    _refuse_stems(entries, folder)
    Roots.of(folder).require(entry for entry in entries if entry.is_symlink())  # the others lie in it
    return {entry.stem: entry for entry in entries}


def _is_system_file(name: str) -> bool:
    return name.startswith(".") or name in SYSTEM_FILES


def _is_picture(entry: Path) -> bool:
    return entry.suffix.lower() in EXTENSIONS and entry.is_file()


def _refuse_stems(entries: Sequence[Path], folder: Path) -> None:
    stems = [entry.stem for entry in entries]
    doubled = (
        sorted({stem for stem in stems if stems.count(stem) > 1}) if len(set(stems)) < len(stems) else []
    )
    if doubled:
        raise InputRefused(
            f"{folder} holds {len(doubled)} stem(s) twice",
            value=_listed(doubled),
            hint="one stem becomes one row: rename one of the files",
        )
    unfit = [stem for stem in stems if not can_stand_in_a_row(stem)]
    if unfit:
        raise InputRefused(
            f"{folder} holds {len(unfit)} stem(s) that are blank, begin like a formula or are not plain text",
            value=_listed(unfit),
            hint="rename the files",
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(ascii(name) if not name.isprintable() else name for name in names[:LISTED])
    return shown + (", ..." if len(names) > LISTED else "")


# --- staging ---------------------------------------------------------------------------------


def stage_pairs(
    pairs: Sequence[Pair], layout: ImageLayout, ng: Path, ok: Path, progress: Progress | None = None
) -> int:
    """Write each pair's pictures into two folders, named by the layout; return how many were converted.

    One picture serves every light. Bytes that already have the layout's format are copied as they are, the
    rest is encoded anew (JPEG at quality 95), so an extension never lies about its content.
    """
    jobs = [
        (pair.stem, source, folder) for pair in pairs for source, folder in ((pair.ng, ng), (pair.ok, ok))
    ]
    _refuse_shared_names(pairs, layout)
    roots = {folder: Roots.of(folder) for folder in {source.parent for _, source, _ in jobs}}
    with (
        FileBatch() as batch,
        (progress or NullProgress()).task("stage pictures", total=len(jobs), unit="picture") as task,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
    ):
        stage = partial(_stage_picture, layout=layout, roots=roots, batch=batch)
        converted = 0
        for was_converted in pool.map(stage, jobs):
            converted += was_converted
            task.advance()
    return converted


def _refuse_shared_names(pairs: Sequence[Pair], layout: ImageLayout) -> None:
    names = [pair.stem + ending for pair in pairs for ending in layout.endings]
    if len(set(names)) < len(names):
        shared = sorted({name for name in names if names.count(name) > 1})
        raise InputRefused("stems and lights give two pictures one name", value=_listed(shared))


def _stage_picture(
    job: tuple[str, Path, Path], layout: ImageLayout, roots: Mapping[Path, Roots], batch: FileBatch
) -> bool:
    stem, source, folder = job
    content = roots[source.parent].read_for_copy(source)
    picture = image_of(content, source)
    wanted = _format_of_extension(layout.extension)
    is_right = content.startswith(MAGIC[wanted])
    if not is_right:
        buffer = io.BytesIO()
        picture.save(buffer, wanted, **({"quality": JPEG_QUALITY} if wanted == "JPEG" else {}))
        content = buffer.getvalue()
    for ending in layout.endings:
        batch.write(folder / f"{stem}{ending}", content)
    return not is_right


def _format_of_extension(extension: str) -> str:
    wanted = FORMATS.get(extension.lower())
    if wanted is None:
        raise UsageError(
            "no picture can be written with this extension", value=extension, hint=", ".join(FORMATS)
        )
    return wanted


# --- by hand ---------------------------------------------------------------------------------


def prepare_pairs(
    input_dir: Path,
    golden_dir: Path,
    output: Path | None = None,
    label: str | None = None,
    images_dir: Path | None = None,
    subdir: str = "sdg",
    light: str | None = "SolderLight",
    image_ext: str = ".jpg",
) -> dict[str, object]:
    """Pair two folders and write their table and `ingest_summary.json` beside it; return the summary.

    With `images_dir` the pictures are staged in `<subdir>_ng/` and `<subdir>_ok/` below it and the table has
    the 14 columns; without it nothing is copied and the table has three: the absolute paths of the input and
    the golden picture, and the label. `label` overrides the defect type of every pair.
    """
    pairs = pair_stems(input_dir, golden_dir)
    types = defect_types([pair.stem for pair in pairs], None)
    labels = [normalise_label(label) if label else types[pair.stem] for pair in pairs]
    table_path = output or (images_dir or input_dir.parent) / f"{subdir}_pairs.csv"
    summary = _ingest_summary(pairs, labels, table_path)
    if images_dir is None:
        _write_absolute_table(table_path, pairs, labels)
    else:
        layout = ImageLayout.from_flags(light, image_ext)
        summary |= _stage_below(images_dir, subdir, pairs, layout)
        write_table(table_path, staged_rows(pairs, labels, f"{subdir}_ng", f"{subdir}_ok"))
    files.write_json(table_path.with_name("ingest_summary.json"), summary)
    return summary


def staged_rows(pairs: Sequence[Pair], labels: Sequence[str], ng: str, ok: str) -> pd.DataFrame:
    """Return the rows of staged pairs; `ng` and `ok` are their folders as the table shall name them."""
    stems = [pair.stem for pair in pairs]
    return pd.DataFrame(
        {"input_path": ng, "golden_path": ok, "label": labels, "object_name": stems}, dtype="str"
    )


def _ingest_summary(pairs: Sequence[Pair], labels: Sequence[str], table_path: Path) -> dict[str, object]:
    return {
        "input_count": len(pairs),
        "paired_count": len(pairs),
        "skipped_unpaired_count": 0,
        "skipped_unpaired_examples": [],
        "converted_to_jpg_count": 0,
        "labels": {label: labels.count(label) for label in sorted(set(labels))},
        "ng_staging_dir": None,
        "ok_staging_dir": None,
        "output_csv": str(table_path),
    }


def _write_absolute_table(path: Path, pairs: Sequence[Pair], labels: Sequence[str]) -> None:
    cells = [
        (str(pair.ng.absolute()), str(pair.ok.absolute()), label)
        for pair, label in zip(pairs, labels, strict=True)
    ]
    files.write_csv(path, pd.DataFrame(cells, columns=["input_path", "golden_path", "label"]))


def _stage_below(
    images_dir: Path, subdir: str, pairs: Sequence[Pair], layout: ImageLayout
) -> dict[str, object]:
    """Stage into attempt folders and rename them, so a broken attempt never stands in the way of the next."""
    finals = [images_dir / f"{subdir}_{side}" for side in ("ng", "ok")]
    attempts = [folder.with_name(f".{folder.name}.attempt") for folder in finals]
    for attempt in attempts:
        shutil.rmtree(attempt, ignore_errors=True)
    converted = stage_pairs(pairs, layout, attempts[0], attempts[1])
    for attempt, final in zip(attempts, finals, strict=True):
        _settle(attempt, final)
    files.sync_folder(images_dir)
    return {
        "converted_to_jpg_count": converted,
        "ng_staging_dir": str(finals[0]),
        "ok_staging_dir": str(finals[1]),
    }


def _settle(attempt: Path, final: Path) -> None:
    """Rename an attempt; a folder that stands there already must hold the same pictures."""
    if not final.exists():
        attempt.rename(final)
        return
    same = _contents(attempt) == _contents(final)
    shutil.rmtree(attempt)
    if not same:
        raise StateConflict(
            "staging folder holds other pictures", value=final, hint="choose another --subdir"
        )


def _contents(folder: Path) -> dict[str, str]:
    return {path.name: files.sha256_of_file(path) for path in files.files_below(folder)}
