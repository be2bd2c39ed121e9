"""The source pool of a run: the real rows of the mining pool and the staged synthetic pairs, built once.

What it was built from has one content digest: a pool that changes during a run is noticed before it is used.
Paths in the pool's tables are those of its final place, so a caller may build aside and rename.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from deft import files
from deft.errors import InputRefused, StateConflict
from deft.progress import NullProgress, Progress
from deft.workspace.defect_types import defect_types
from deft.workspace.layout import SynthPool, Workspace
from deft.workspace.pairs import Pair, pair_stems, stage_pairs, staged_rows
from deft.workspace.pool_paths import resolve_pool_paths
from deft.workspace.rows import COLUMNS, ImageLayout, read_table
from deft.workspace.training_spec import read_baseline_spec

SCHEMA_VERSION = 2
AT_ONCE = 64  # handing one small file to a thread costs more than reading it
REAL, SYNTHETIC = "real", "sdg"
POOL_COLUMNS = (*COLUMNS, "provenance", "filepath", "golden_filepath", "component_id")


@dataclass(frozen=True)
class PoolManifest:
    """What `synth_pool/manifest.json` says: counts, labels and the digest of what the pool was built from."""

    digest: str
    counts: dict[str, int]
    labels: dict[str, int]

    def record(self, pool: SynthPool, workspace: Workspace) -> dict[str, object]:
        """Return the manifest as JSON; its paths are relative to the pool, so a copied run reads it too."""
        return {
            "schema_version": SCHEMA_VERSION,
            "workspace": os.path.relpath(workspace.root, pool.root),
            "source_pool_csv": pool.source_table.name,
            "source_pool_parquet": pool.source_parquet.name,
            "source_embeddings_parquet": None,
            "sdg_rows_csv": pool.synthetic_rows.name,
            "ng_dir": "images/synth_ng",
            "ok_dir": "images/synth_ok",
            "siglip_model": None,
            **asdict(self),
        }


@dataclass(frozen=True)
class PoolSources:
    """Everything the pool is made of, checked: resolved real rows, pairs with their types, files by hash."""

    real: pd.DataFrame
    pairs: list[Pair]
    types: dict[str, str]
    hashes: dict[str, tuple[int, str]]

    @property
    def digest(self) -> str:
        return files.sha256_of_record(sorted((path, *facts) for path, facts in self.hashes.items()))


# --- digest ----------------------------------------------------------------------------------


def pool_digest(workspace: Workspace, layout: ImageLayout | None = None) -> str:
    """Return the sha256 over (path in the workspace, size, sha256) of every file the pool is built from.

    Those are the mining pool's table, the images its rows resolve to, the pre-generated pairs and their
    defect specification. `layout` is the baseline spec's unless given. Refuses what building refuses.
    """
    layout = layout or ImageLayout.from_spec(read_baseline_spec(workspace))
    return read_sources(workspace, layout).digest


def read_sources(workspace: Workspace, layout: ImageLayout, progress: Progress | None = None) -> PoolSources:
    """Read and check everything a pool is built from; refuses what building refuses."""
    pairs = pair_stems(workspace.reconstructed_images, workspace.original_images)
    types = defect_types([pair.stem for pair in pairs], workspace.defect_spec)
    real = resolve_pool_paths(read_table(workspace.mining_pool_table), workspace, layout)
    paths = {str(workspace.mining_pool_table), *(str(path) for pair in pairs for path in (pair.ng, pair.ok))}
    paths.update(_image_paths(real, workspace, layout))
    if workspace.defect_spec.is_file():
        paths.add(str(workspace.defect_spec))
    hashes = _hash_all(sorted(paths), workspace.root, progress or NullProgress())
    return PoolSources(real, pairs, types, hashes)


def _image_paths(real: pd.DataFrame, workspace: Workspace, layout: ImageLayout) -> Iterable[str]:
    for column in ("input_path", "golden_path"):
        for paths in layout.column_paths(real, workspace.root, column):
            yield from map(os.path.normpath, paths)


def _hash_all(paths: Sequence[str], root: Path, progress: Progress) -> dict[str, tuple[int, str]]:
    """Hash files in threads; the keys are relative to `root`."""
    hashes: dict[str, tuple[int, str]] = {}
    with (
        progress.task("read the pool", total=len(paths), unit="file") as task,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
    ):
        blocks = [paths[at : at + AT_ONCE] for at in range(0, len(paths), AT_ONCE)]
        for block, facts in zip(blocks, pool.map(_sizes_and_hashes, blocks), strict=True):
            hashes.update(zip([_below(path, root) for path in block], facts, strict=True))
            task.advance(len(block))
    return hashes


def _below(path: str, root: Path) -> str:
    return path.removeprefix(f"{root}/")


def _sizes_and_hashes(paths: Sequence[str]) -> list[tuple[int, str]]:
    return [_size_and_hash(path) for path in paths]


def _size_and_hash(path: str) -> tuple[int, str]:
    try:
        return os.path.getsize(path), files.sha256_of_file(path)
    except OSError as error:
        raise InputRefused(f"file of the pool cannot be read ({error.strerror})", value=path) from None


# --- building --------------------------------------------------------------------------------


def build_source_pool(
    workspace: Workspace,
    destination: Path,
    layout: ImageLayout,
    *,
    final: Path | None = None,
    sources: PoolSources | None = None,
    progress: Progress | None = None,
) -> PoolManifest:
    """Write the source pool into `destination`: staged images, tables, manifest (it is written last).

    The tables name the images as they stand in `final` (default: `destination`), the folder that the caller
    renames the finished pool to. `input_path` and `golden_path` are relative to the workspace, `filepath` and
    `golden_filepath` absolute and of the first light. `sources` are what was just read, if it was. Refused:
    missing, empty or unpaired folders, a pool without rows, a path that leads to no image or to several, an
    absent golden. Nothing is embedded here.
    """
    progress = progress or NullProgress()
    pool = SynthPool(destination)
    sources = sources or read_sources(workspace, layout, progress)
    stage_pairs(sources.pairs, layout, pool.images / "synth_ng", pool.images / "synth_ok", progress)
    synthetic = _synthetic_rows(sources, workspace, SynthPool(final or destination))
    table = pd.concat([sources.real.assign(provenance=REAL), synthetic], ignore_index=True)
    table = _with_files(table, workspace, layout)
    files.write_csv(pool.synthetic_rows, table[table["provenance"] == SYNTHETIC])
    files.write_csv(pool.source_table, table)
    files.write_parquet(pool.source_parquet, _with_lights(table, workspace, layout))
    manifest = _manifest(table, sources, workspace)
    files.write_json(pool.manifest, manifest.record(SynthPool(final or destination), workspace))
    return manifest


def _synthetic_rows(sources: PoolSources, workspace: Workspace, final: SynthPool) -> pd.DataFrame:
    labels = [sources.types[pair.stem] for pair in sources.pairs]
    ng, ok = (_from_workspace(final.images / side, workspace) for side in ("synth_ng", "synth_ok"))
    return staged_rows(sources.pairs, labels, ng, ok).assign(provenance=SYNTHETIC)


def _from_workspace(folder: Path, workspace: Workspace) -> str:
    """Return the folder relative to the workspace; absolute where the results are kept elsewhere."""
    folder = Path(os.path.abspath(folder))
    inside = folder.is_relative_to(workspace.root)
    return str(folder.relative_to(workspace.root) if inside else folder)


def _with_files(table: pd.DataFrame, workspace: Workspace, layout: ImageLayout) -> pd.DataFrame:
    table = table.assign(
        filepath=layout.column_paths(table, workspace.root, "input_path")[0],
        golden_filepath=layout.column_paths(table, workspace.root, "golden_path")[0],
        component_id=table["input_path"] + "/" + table["object_name"],
    )
    return table.reindex(columns=list(POOL_COLUMNS)).fillna("").astype("str")


def _with_lights(table: pd.DataFrame, workspace: Workspace, layout: ImageLayout) -> pd.DataFrame:
    """Add all lights of a component where there are several: an encoder averages over them."""
    if len(layout.lights) < 2:
        return table
    columns = {"light_filepaths": "input_path", "golden_light_filepaths": "golden_path"}
    for name, column in columns.items():
        lights = layout.column_paths(table, workspace.root, column)
        table = table.assign(**{name: pd.Series([list(paths) for paths in zip(*lights, strict=True)])})
    return table


def _manifest(table: pd.DataFrame, sources: PoolSources, workspace: Workspace) -> PoolManifest:
    real, total = len(sources.real), len(table)
    first_lights = table.loc[: real - 1, "filepath"]
    images = [*map(os.path.normpath, first_lights), *(str(pair.ng) for pair in sources.pairs)]
    contents = {sources.hashes[_below(image, workspace.root)] for image in images}
    counts = {
        "real_rows": real,
        "sdg_rows": total - real,
        "total_rows": total,
        "rows_of_repeated_content": total - len(contents),
    }
    labels = table["label"].value_counts().sort_index()
    return PoolManifest(sources.digest, counts, {str(label): int(n) for label, n in labels.items()})


# --- by hand ---------------------------------------------------------------------------------


def prestage(
    workspace: Path,
    results_dir: Path,
    light: str | None = "SolderLight",
    image_ext: str = ".jpg",
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Build `<results_dir>/synth_pool` and return its manifest; an existing pool is kept unless `force`.

    The pool is built aside and renamed, so a failed attempt neither blocks the next nor costs the old pool.
    """
    owner = Workspace.at(workspace)
    final = results_dir.expanduser().resolve() / "synth_pool"
    if final.exists() and not force:
        raise StateConflict("source pool exists already", value=final, hint="--force builds it anew")
    attempt = final.with_name(".synth_pool.attempt")
    shutil.rmtree(attempt, ignore_errors=True)
    layout = ImageLayout.from_flags(light, image_ext)
    manifest = build_source_pool(owner, attempt, layout, final=final, progress=progress)
    _replace_folder(attempt, final)
    return manifest.record(SynthPool(final), owner)


def _replace_folder(attempt: Path, final: Path) -> None:
    """Put a finished folder in the place of an old one, which is removed only afterwards."""
    old = final.with_name(".synth_pool.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    attempt.rename(final)
    files.sync_folder(final.parent)
    shutil.rmtree(old, ignore_errors=True)
