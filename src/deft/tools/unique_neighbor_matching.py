"""`tmm unique_neighbor_matching`: a wanted number of distinct images, shared out evenly among the targets.

With `class_stratified` every rare class has its own quota, which is filled from images of that class first
and from images without a rare class after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import MISSING, DictConfig

from deft import files
from deft.embedding.sets import FILEPATH, read_arrow
from deft.errors import UsageError
from deft.tools.detections import Detections, read_detections
from deft.tools.nearest_neighbors import METRICS
from deft.tools.output import say
from deft.tools.sharing import Flags, Pick, Pictures, Search, Subset, match, quotas

COMMON = "non_rare"
POLICIES = ("global", "class_stratified")


@dataclass
class UniqueNeighborMatchingConfig:
    """Keys of `tmm unique_neighbor_matching`."""

    source_path: str = MISSING
    target_path: str = MISSING
    output_dir: str = MISSING
    desired_unique_count: int = MISSING
    allocation_policy: str = "global"
    distance_metric: str = "euclidean"
    candidate_expansion_factor: int = 5
    source_embedding_column: str = "embedding"
    target_embedding_column: str = "embedding"
    source_filepath_column: str = FILEPATH
    target_filepath_column: str = FILEPATH
    exclude_path: str | None = None
    source_detection_file: str | None = None
    target_detection_file: str | None = None
    detection_format: str | None = None
    rare_class_list: str = ""
    save_embeddings: bool = False
    visualize: bool = False


# --- the command -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """Everything a run works on."""

    targets: Pictures
    pool: Pictures
    wanted: int
    search: Search
    rare: tuple[str, ...]
    target_classes: Detections | None
    source_classes: Detections | None


def run(config: DictConfig) -> None:
    """Carry out `tmm unique_neighbor_matching`: the chosen paths, each round's picks, and a summary."""
    job = _read_job(config)
    stratified = config.allocation_policy == "class_stratified"
    subsets, details = _stratified(job) if stratified else _global(job)
    output = Path(config.output_dir)
    for subset in subsets:
        _write_rounds(subset, output, job if config.save_embeddings else None)
    kept = sorted({path for subset in subsets for path in subset.kept})
    column = pd.Series(kept, dtype=object)
    files.write_parquet(
        output / "final_unique_files.parquet", pd.DataFrame({config.source_filepath_column: column})
    )
    summary = {
        "allocation_policy": config.allocation_policy,
        "desired_unique_count": job.wanted,
        "retrieved_unique_count": len(kept),
        "coverage_pct": round(100 * len(kept) / job.wanted, 2),
        **details,
        **_datasets(job, kept),
    }
    if stratified:
        summary["distance_stats"] = _distance_statistics(subsets, config.distance_metric)
    files.write_json(output / "summary.json", summary)
    say(f"Retrieved {len(kept)} of {job.wanted} unique files; results in {output}")


def _read_job(config: DictConfig) -> Job:
    _check(config)
    targets = Pictures.read(
        Path(config.target_path), config.target_embedding_column, config.target_filepath_column
    )
    pool = Pictures.read(
        Path(config.source_path), config.source_embedding_column, config.source_filepath_column
    )
    if config.exclude_path:
        pool = _without(pool, Path(config.exclude_path))
    classes = [
        read_detections(Path(path), config.detection_format) if path else None
        for path in (config.target_detection_file, config.source_detection_file)
    ]
    names = (name.strip().lower() for name in config.rare_class_list.split(","))
    metric = METRICS.get(config.distance_metric, config.distance_metric)
    search = Search(metric, config.candidate_expansion_factor)
    rare = tuple(sorted({name for name in names if name}))
    return Job(targets, pool, config.desired_unique_count, search, rare, *classes)


def _check(config: DictConfig) -> None:
    if config.desired_unique_count < 1:
        raise UsageError("desired_unique_count is required", value=config.desired_unique_count)
    if config.candidate_expansion_factor < 1:
        raise UsageError(
            "candidate_expansion_factor must be at least 1", value=config.candidate_expansion_factor
        )
    if config.allocation_policy not in POLICIES:
        raise UsageError(
            "allocation_policy is not known",
            value=config.allocation_policy,
            hint=f"choose one of {', '.join(POLICIES)}",
        )
    needed = ("source_detection_file", "target_detection_file", "rare_class_list")
    missing = [key for key in needed if not config[key]]
    if config.allocation_policy == "class_stratified" and missing:
        raise UsageError("allocation_policy class_stratified needs more keys", value=", ".join(missing))
    if config.visualize:
        say("WARNING visualize is not done here; the picks stand in the Parquet file of each round")


def _without(pool: Pictures, path: Path) -> Pictures:
    excluded = [str(value) for value in read_arrow(path, required=(FILEPATH,)).column(FILEPATH).to_pylist()]
    names = {Path(each).name for each in excluded}
    return pool.where(np.array([Path(each).name not in names for each in pool.paths], dtype=np.bool_))


def _global(job: Job) -> tuple[list[Subset], dict[str, Any]]:
    subset = match("global", job.targets, job.pool, job.wanted, job.search)
    return [subset], {"target_queries": len(job.targets), "rare_classes": list(job.rare)}


def _stratified(job: Job) -> tuple[list[Subset], dict[str, Any]]:
    assert job.target_classes is not None
    assert job.source_classes is not None
    wanted_by = {name: _showing(job.targets, job.target_classes, [name]) for name in job.rare}
    offered_by = {name: _showing(job.pool, job.source_classes, [name]) for name in job.rare}
    wanted_by[COMMON] = ~_showing(job.targets, job.target_classes, job.rare)
    common = ~_showing(job.pool, job.source_classes, job.rare)
    counts = {name: int(mask.sum()) for name, mask in wanted_by.items()}
    shares = quotas(counts, job.wanted)
    subsets: list[Subset] = []
    for name in (*job.rare, COMMON):
        _fill(subsets, job, name, shares[name], wanted_by[name], offered_by.get(name, common))
        short = shares[name] - (len(subsets[-1].kept) if subsets and subsets[-1].name == name else 0)
        if name != COMMON and short:
            _fill(subsets, job, f"{name}_fallback", short, wanted_by[name], common)
    return subsets, _allocation(job, counts, shares)


def _fill(subsets: list[Subset], job: Job, name: str, wanted: int, targets: Flags, pool: Flags) -> None:
    used = {path for subset in subsets for path in subset.kept}
    free = np.array([path not in used for path in job.pool.paths], dtype=np.bool_)
    if wanted and targets.any() and (pool & free).any():
        found = match(name, job.targets.where(targets), job.pool.where(pool & free), wanted, job.search)
        subsets.append(found)


def _showing(pictures: Pictures, classes: Detections, names: Iterable[str]) -> Flags:
    wanted = set(names)
    return np.array([not wanted.isdisjoint(classes.of(path)) for path in pictures.paths], dtype=np.bool_)


# --- the record ------------------------------------------------------------------------------


def _allocation(job: Job, counts: Mapping[str, int], shares: Mapping[str, int]) -> dict[str, Any]:
    total = sum(counts.values())
    records = {
        name: {
            "target_count": count,
            "ratio_pct": round(100 * count / total, 2),
            "desired_count": shares[name],
        }
        for name, count in counts.items()
    }
    common = records.pop(COMMON)
    return {
        "rare_classes": list(job.rare),
        "target_queries": {"rare": len(job.targets) - counts[COMMON], "non_rare": counts[COMMON]},
        "allocation": {"per_class": records, "non_rare": common, "total_desired": sum(shares.values())},
    }


def _datasets(job: Job, kept: list[str]) -> dict[str, Any]:
    if job.target_classes is None or job.source_classes is None:
        return {}
    rare = frozenset(job.rare)
    return {
        "target_dataset": job.target_classes.summary(job.targets.paths, rare),
        "resultant_dataset": job.source_classes.summary(kept, rare),
    }


def _distance_statistics(subsets: list[Subset], metric: str) -> dict[str, Any]:
    """Describe the nearest pick of each target: a class by its own picks, all targets by their latest."""
    by_class: dict[str, dict[str, float]] = {}
    overall: dict[str, float] = {}
    for subset in subsets:
        found = subset.nearest_of_target()
        name = subset.name.removesuffix("_fallback")
        by_class[name] = found | by_class.get(name, {})
        overall |= found
    return {
        "metric": metric,
        "based_on": "top1_distance",
        "per_class": {name: _described(by_class[name].values()) for name in sorted(by_class)}
        | {"overall": _described(overall.values())},
    }


def _described(distances: Iterable[float]) -> dict[str, float | int]:
    values = np.array(list(distances))
    if not len(values):
        return {"count": 0}
    names = ("min", "max", "mean", "median", "std", "p25", "p75")
    figures = (values.min(), values.max(), values.mean(), np.median(values), values.std())
    quartiles = np.percentile(values, [25, 75])
    return {
        "count": len(values),
        **{name: float(figure) for name, figure in zip(names, (*figures, *quartiles), strict=True)},
    }


def _write_rounds(subset: Subset, folder: Path, job: Job | None) -> None:
    for number, picks in enumerate(subset.rounds, start=1):
        path = folder / f"{subset.name}_iteration_{number}_topn_{subset.share}.parquet"
        files.write_parquet(path, pd.DataFrame([_row(pick, job) for pick in picks]).astype(_types(picks)))


def _row(pick: Pick, job: Job | None) -> dict[str, Any]:
    row: dict[str, Any] = {"target_filepath": pick.target}
    if job:
        row["target_embedding"] = _vector(job.targets, pick.target)
    for place, (path, distance) in enumerate(zip(pick.sources, pick.distances, strict=True), start=1):
        row[f"top{place}_source_filepath"] = path
        row[f"top{place}_distance"] = distance
        if job:
            row[f"top{place}_source_embedding"] = _vector(job.pool, path)
    return row


def _vector(pictures: Pictures, path: str) -> list[float]:
    vector: list[float] = pictures.vectors[int(np.argmax(pictures.paths == path))].tolist()
    return vector


def _types(picks: list[Pick]) -> dict[str, str]:
    places = range(1, len(picks[0].sources) + 1)
    return {"target_filepath": "object"} | {f"top{place}_source_filepath": "object" for place in places}
