"""What is known of one search of a pool: its artifacts, its history in the run, and the facts of both."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from deft import files
from deft.embedding.sets import FILEPATH, EmbeddingSet
from deft.run.by_hand import guarding_run
from deft.stages.data_mining import POOL_EMBEDDINGS, TARGET_EMBEDDINGS
from deft.workspace.layout import Phase, RunFolder, phase_name
from deft.workspace.rows import PASS

MINED, NEIGHBOURS, KNN = "mined.parquet", "neighbours.parquet", "knn_summary.csv"
PLAN = "plan.json"
Record = dict[str, Any]


# --- which folder -----------------------------------------------------------------------------


def is_search(folder: Path) -> bool:
    """Say whether a folder holds the artifacts of a search."""
    return (folder / MINED).is_file()


def newest_search(place: Path) -> Path | None:
    """Return a folder that is a search, or the newest one in its `mining_results/` or `mining_filter/`."""
    candidates = [place, place / "mining_filter", *sorted((place / "mining_results").glob("*"), reverse=True)]
    return next((folder for folder in candidates if is_search(folder)), None)


def last_search(run: RunFolder) -> Path | None:
    """Return the search of a run's last iteration that has one."""
    found = [path.parent for path in run.root.glob(f"iter*/mining_filter/{MINED}")]
    return max(found, key=lambda folder: Phase(folder.parent).number, default=None)


# --- what is known ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Search:
    """The artifacts of one search; the sides are None where nothing was embedded."""

    folder: Path
    run: RunFolder | None
    plan: Record
    targets: EmbeddingSet | None
    pool: EmbeddingSet | None
    mined: pd.DataFrame
    neighbours: pd.DataFrame | None

    @classmethod
    def of(cls, folder: Path) -> Search:
        """Read a search; the container's own results have no `neighbours.parquet`."""
        run = guarding_run(folder)
        plan = run.plan if run is not None else folder / PLAN
        evidence = folder / NEIGHBOURS
        return cls(
            folder,
            run,
            files.read_json(plan) if plan.is_file() else {},
            _side(folder / TARGET_EMBEDDINGS),
            _side(folder / POOL_EMBEDDINGS),
            files.read_parquet(folder / MINED, required=(FILEPATH,)),
            files.read_parquet(evidence) if evidence.is_file() else None,
        )

    def setting(self, name: str, default: object) -> Any:
        """Return the agreed value of a setting, or a default where no plan names it."""
        return self.plan.get("settings", {}).get(name, {}).get("value", default)

    @property
    def kept(self) -> list[str]:
        return [str(path) for path in self.mined[FILEPATH]]


def _side(path: Path) -> EmbeddingSet | None:
    return EmbeddingSet.read(path) if path.is_file() else None


def rows_of(side: EmbeddingSet | None) -> pd.DataFrame:
    """Return the rows of a side; none where nothing was embedded."""
    return side.table if side is not None else pd.DataFrame({FILEPATH: pd.Series(dtype=object)})


def _labels_of(table: pd.DataFrame) -> pd.Series:
    """Return path -> label; empty where the table has no labels."""
    if "label" not in table:
        return pd.Series(dtype=object)
    return table.drop_duplicates(FILEPATH).set_index(FILEPATH)["label"].astype(str)


def _synthetic_rows(search: Search) -> set[str] | None:
    pool = rows_of(search.pool)
    if "provenance" not in pool:
        return None
    return {str(path) for path in pool.loc[pool["provenance"] == "sdg", FILEPATH]}


# --- the figures -----------------------------------------------------------------------------


def facts_of(search: Search) -> Record:
    """Return every figure that a report on the search may name; None where it is unknown."""
    targets, pool = rows_of(search.targets), rows_of(search.pool)
    synthetic = _synthetic_rows(search)
    kept = search.kept
    facts: Record = {
        "targets": len(targets),
        "pool_rows": len(pool),
        "target_labels": len(set(_labels_of(targets))),
        "pool_labels": len(set(_labels_of(pool))),
        "kept": len(kept),
        "kept_synthetic": None if synthetic is None else len(synthetic & set(kept)),
        "pool_synthetic": None if synthetic is None else len(synthetic),
        "encoder": _encoder_verdict(search),
        "target_width": search.targets.matrix.shape[1] if search.targets is not None else None,
        "pool_width": search.pool.matrix.shape[1] if search.pool is not None else None,
        "mining": search.setting("mining", "targets"),
        **_pair_facts(search),
        **_run_facts(search),
    }
    for row in per_label(search):
        facts |= {f"label.{row['label']}.{name}": value for name, value in row.items() if name != "label"}
    return facts


def _pair_facts(search: Search) -> Record:
    pairs = search.neighbours
    known = pairs is not None and len(pairs) > 0
    candidates = int(pairs["source_filepath"].nunique()) if pairs is not None and known else None
    facts: Record = {"candidates": candidates, "cut": _cut(search.folder)}
    kept = pairs[pairs["kept"]] if pairs is not None else None
    for name, rows in (("similarity", pairs), ("kept_similarity", kept)):
        values = rows["similarity"] if rows is not None else pd.Series(dtype=float)
        for key, quantile in (("max", 1.0), ("median", 0.5), ("min", 0.0)):
            facts[f"{name}.{key}"] = float(values.quantile(quantile)) if len(values) else None
    facts["kept_pairs"] = None if kept is None else len(kept)
    facts["cross_class"] = _cross_class(search, kept)
    return facts


def _cut(folder: Path) -> float | None:
    path = folder / KNN
    text = files.read_csv(path)["similarity_threshold"].iloc[0] if path.is_file() else ""
    return float(text) if text else None


def _cross_class(search: Search, kept: pd.DataFrame | None) -> int | None:
    targets, pool = _labels_of(rows_of(search.targets)), _labels_of(rows_of(search.pool))
    if kept is None or not len(targets) or not len(pool):
        return None
    wanted = kept["target_filepath"].map(targets) == PASS
    given = kept["source_filepath"].map(pool) == PASS
    return int((wanted != given).sum())


def _run_facts(search: Search) -> Record:
    """Return what only a loop knows: the history, the yield before, the next training table."""
    facts: Record = {"mined_before": None, "kept_before": None, "training_rows": None}
    if search.run is None:
        return facts
    phase = Phase(search.folder.parent)
    earlier = [search.run.phase(phase_name(n)).mining_filter / MINED for n in range(1, phase.number)]
    counts = [len(files.read_parquet(path)) for path in earlier if path.is_file()]
    table = phase.combined_provenance
    return {
        "mined_before": sum(counts),
        "kept_before": counts[-1] if counts else None,
        "training_rows": len(files.read_csv(table)) if table.is_file() else None,
    }


def _encoder_verdict(search: Search) -> str:
    if search.targets is None or search.pool is None:
        return "unnamed"
    one, other = search.targets.fingerprint, search.pool.fingerprint
    if one is None and other is None:
        return "unnamed"
    return "same" if _without_width(one) == _without_width(other) else "different"


def _without_width(fingerprint: Record | None) -> Record | None:
    return {k: v for k, v in fingerprint.items() if k != "width"} if fingerprint is not None else None


def per_label(search: Search) -> list[Record]:
    """Return one record a label of either side, PASS first; empty where the targets carry no labels."""
    wanted, offered = _labels_of(rows_of(search.targets)), _labels_of(rows_of(search.pool))
    if not len(wanted):
        return []
    synthetic = _synthetic_rows(search) or set()
    kept = Counter(offered.reindex(search.kept).dropna())
    made = Counter(offered.reindex([path for path in search.kept if path in synthetic]).dropna())
    names = sorted({*wanted, *offered}, key=lambda label: (label != PASS, label))
    targets, pool = Counter(wanted), Counter(offered)
    return [
        {"label": n, "targets": targets[n], "pool": pool[n], "kept": kept[n], "synthetic": made[n]}
        for n in names
    ]
