"""Find look-alikes of weak samples in a pool, outside a loop: embed both sides, then choose host-side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from deft import files
from deft.embedding.selection import Embedded, Rule, Selection, select
from deft.embedding.sets import EMBEDDING, FILEPATH, EmbeddingSet, read_arrow, require_same_encoder
from deft.errors import InputRefused, UsageError
from deft.platforms.base import Platform, ToolCall
from deft.preflight.plan import gpu_count
from deft.preflight.settings import Facts, Settings, settle
from deft.progress import Progress
from deft.stages.data_mining import (
    POOL_EMBEDDINGS,
    TARGET_EMBEDDINGS,
    write_knn_summary,
    write_mining_summary,
)
from deft.stages.routing import uncovered_labels
from deft.steps.gate import Record, Step, require_files
from deft.workspace.rows import PASS, normalise_label

KIND = "mine"
PAIR = "deft_pair"
GOLDEN = "golden_filepath"
BATCH_SIZE = 64
EMBEDDING_SPEC, MINING_SPEC = "embedding_spec.yaml", "mining_spec.yaml"
OPTIONS = {
    "encoder": "--encoder",
    "encoder_path": "--encoder-path",
    "top_k_per_target": "--top-k",
    "knn_metric": "--metric",
    "filter_by_label": "--filter-by-label",
    "min_similarity": "--min-similarity",
    "synthetic_share": "--synthetic-share",
}
WRITES = (
    EMBEDDING_SPEC,
    MINING_SPEC,
    TARGET_EMBEDDINGS,
    POOL_EMBEDDINGS,
    "mined.parquet",
    "mining_summary.txt",
    "knn_summary.csv",
    "neighbours.parquet",
)


@dataclass(frozen=True)
class Rows:
    """One side of a search: its rows, and whether they come with vectors already."""

    table: pd.DataFrame
    is_embedded: bool

    @classmethod
    def read(cls, path: Path) -> Rows:
        """Read a Parquet file or a CSV with a column `filepath`; the first and last image must exist."""
        require_files([path])
        if path.suffix.lower() == ".csv":
            found = cls(files.read_csv(path, required=(FILEPATH,)), False)
        else:
            table = read_arrow(path, required=(FILEPATH,))
            embedded = EMBEDDING in table.column_names
            bare = table.drop_columns([EMBEDDING]) if embedded else table
            found = cls(bare.to_pandas(ignore_metadata=True), embedded)
        found._require_images(path)
        return found

    def _require_images(self, path: Path) -> None:
        if self.table.empty:
            raise InputRefused("table has no rows", value=path)
        for image in self.table[FILEPATH].iloc[[0, -1]]:
            if not Path(str(image)).is_file():
                raise InputRefused(f"image of {path.name} does not exist", value=image)


@dataclass(frozen=True)
class MiningRequest:
    """Weak samples, the pool to search, and what the user said about how (`given`, by setting)."""

    targets: Path
    pool: Path
    output: Path
    platform: str
    given: Mapping[str, Any]

    @cached_property
    def settings(self) -> Settings:
        """Return every setting of the search with its source; the user's word, else seed defaults."""
        facts = Facts(
            spec={"dataset": {"classify": {}}},
            smallest_scored_split=BATCH_SIZE,
            training_rows=BATCH_SIZE,
            default_encoder="SigLIP",
            gpus=gpu_count(),
            precision=None,
        )
        settled = settle(self.given, facts)
        return {name: settled[name] for name in (*OPTIONS, "num_gpus")}

    def _value(self, name: str) -> Any:
        return self.settings[name]["value"]

    def step(self) -> Step:
        """Check both tables and that a search can find anything, and say what would happen."""
        targets, pool = Rows.read(self.targets), Rows.read(self.pool)
        self._require_encoder_inputs(targets, pool)
        advice = self._coverage(targets.table, pool.table)
        given = [(OPTIONS[name], str(value)) for name, value in self.given.items() if value is not None]
        options = [("--output-dir", str(self.output)), *given, ("--platform", self.platform)]
        checkpoint = Path(str(self._value("encoder_path") or ""))
        return Step(
            kind=KIND,
            arguments=(KIND, str(self.targets), str(self.pool), *(word for pair in options for word in pair)),
            inputs=(self.targets, self.pool, *([checkpoint] if checkpoint.is_file() else [])),
            settings=self.settings,
            results=self.output / "mining_results",
            writes=WRITES,
            calls={"embedding image_embeddings": 1 if pool.is_embedded else 2},
            platform=self.platform,
            advice=advice,
        )

    def _require_encoder_inputs(self, targets: Rows, pool: Rows) -> None:
        """Refuse a pair encoder without its checkpoint or without goldens."""
        if self._value("encoder") != PAIR:
            return
        if not Path(str(self._value("encoder_path") or "")).is_file():
            raise UsageError(
                "the pair encoder needs a checkpoint",
                value=self._value("encoder_path") or "none given",
                hint="--encoder-path CHECKPOINT",
            )
        for path, rows in ((self.targets, targets), (self.pool, pool)):
            if GOLDEN not in rows.table:
                raise InputRefused(
                    f"the pair encoder needs the column {GOLDEN}",
                    value=path,
                    hint="weak_components.parquet of deft analyze-gaps, source_pool.parquet of a run",
                )

    def _coverage(self, targets: pd.DataFrame, pool: pd.DataFrame) -> tuple[str, ...]:
        """Refuse a search whose label filter leaves no candidate for any target; name what is uncovered."""
        rule = self._value("filter_by_label")
        if rule == "none":
            return ()
        wanted, offered = (_labels(side, path) for side, path in ((targets, self.targets), (pool, self.pool)))
        groups = [
            side.where(side == PASS, "defect") if rule == "class" else side for side in (wanted, offered)
        ]
        if not set(groups[0]) & set(groups[1]):
            raise InputRefused(
                f"pool covers no target (it holds {', '.join(sorted(set(offered))[:5])})",
                value=", ".join(sorted(set(wanted))[:5]),
                hint="add rows of these labels, or --filter-by-label none",
            )
        return uncovered_labels(wanted, offered)

    # --- the work ----------------------------------------------------------------------------

    def work(self, folder: Path, platform: Platform, progress: Progress) -> Record:
        """Embed both sides (the pool unless it has vectors), choose, and write what was chosen and why."""
        platform.run(self._embedding_calls(folder), progress)
        sets = [EmbeddingSet.read(folder / name) for name in (TARGET_EMBEDDINGS, POOL_EMBEDDINGS)]
        require_same_encoder(*sets)
        wanted, offered = (Embedded(self._with_labels(each.table, each.path), each.matrix) for each in sets)
        files.write_yaml(folder / MINING_SPEC, self._mining_spec())
        selection = select(wanted, offered, self._rule(), already=set())
        return self._write(folder, offered.table, selection)

    def _embedding_calls(self, folder: Path) -> list[ToolCall]:
        """Return the calls, the pool's first: the pair encoder standardises the targets on it."""
        spec = {
            "model": self._value("encoder"),
            "model_path": str(self._value("encoder_path")),
            "batch_size": BATCH_SIZE,
        }
        files.write_yaml(folder / EMBEDDING_SPEC, spec)
        embedded = folder / POOL_EMBEDDINGS
        statistics = {"statistics_parquet": embedded} if spec["model"] == PAIR else {}
        targets = self._call(folder, "targets", self.targets, folder / TARGET_EMBEDDINGS, statistics)
        if Rows.read(self.pool).is_embedded:
            files.write_bytes(embedded, self.pool.read_bytes())
            return [targets]
        return [self._call(folder, "pool", self._as_parquet(folder), embedded, {}), targets]

    def _as_parquet(self, folder: Path) -> Path:
        """Return the pool as Parquet: a CSV is converted, its columns as they are."""
        if self.pool.suffix.lower() != ".csv":
            return self.pool
        return files.write_parquet(folder / "source_pool.parquet", Rows.read(self.pool).table)

    def _call(
        self, folder: Path, side: str, source: Path, output: Path, more: Mapping[str, object]
    ) -> ToolCall:
        return ToolCall(
            category="embedding",
            action="image_embeddings",
            spec=folder / EMBEDDING_SPEC,
            overrides={"input_parquet": source, "output_parquet": output, **more},
            reads=(source.parent,),
            writes=folder,
            log=folder / f"embed_{side}.log",
            title=f"embed {side}",
            gpus=self._value("num_gpus"),
        )

    def _mining_spec(self) -> Record:
        """Return the spec with which `deft tool tmm nearest_neighbors` makes the same search by hand.

        The container knows equal labels only, and no similarity cut: both are applied here.
        """
        return {
            "topn": self._value("top_k_per_target"),
            "knn_metric": self._value("knn_metric"),
            "filter_by_label": "true" if self._value("filter_by_label") == "label" else "false",
            "source_embed_column_name": EMBEDDING,
            "target_embed_column_name": EMBEDDING,
        }

    def _rule(self) -> Rule:
        return Rule(
            top_k=self._value("top_k_per_target"),
            metric=self._value("knn_metric"),
            label_filter=self._value("filter_by_label"),
            min_similarity=self._value("min_similarity"),
            synthetic_share=self._value("synthetic_share"),
        )

    def _with_labels(self, table: pd.DataFrame, path: Path) -> pd.DataFrame:
        return table if self._value("filter_by_label") == "none" else table.assign(label=_labels(table, path))

    def _write(self, folder: Path, pool: pd.DataFrame, selection: Selection) -> Record:
        kept, neighbours = selection.kept, selection.neighbours
        labelled = pool if "label" in pool else pool.assign(label="unlabelled")
        rows = labelled.drop_duplicates(FILEPATH).set_index(FILEPATH, drop=False).loc[kept]
        targets = int(neighbours["target_filepath"].nunique())
        files.write_parquet(folder / "mined.parquet", pd.DataFrame({FILEPATH: kept}, dtype=object))
        files.write_parquet(folder / "neighbours.parquet", neighbours)
        write_knn_summary(folder, selection, len(kept))
        write_mining_summary(folder, selection, rows, targets)
        return {
            "mined": len(kept),
            "targets": targets,
            "candidates": int(neighbours["source_filepath"].nunique()),
            "similarity_cut": selection.cut,
            "warnings": [*self._uncovered(selection), *_yield_warning(selection)],
        }

    def _uncovered(self, selection: Selection) -> list[str]:
        return [f"pool holds no candidate for {name} targets" for name in selection.without_candidates]


def _yield_warning(selection: Selection) -> list[str]:
    if selection.kept:
        return []
    reasons = ", ".join(sorted(set(selection.neighbours["reason"]) - {""})) or "no candidates"
    return [f"nothing was mined ({reasons}); --min-similarity p25 cuts relative to the pool"]


def _labels(table: pd.DataFrame, path: Path) -> pd.Series:
    """Return the labels in their one form; a table without them cannot be filtered by label."""
    if "label" not in table:
        raise InputRefused("table has no column label", value=path, hint="--filter-by-label none")
    return table["label"].fillna("").astype(str).map(normalise_label)
