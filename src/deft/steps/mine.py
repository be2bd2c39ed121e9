"""Find look-alikes of weak samples in a pool, outside a loop: embed both sides, then choose host-side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from deft import files, streams
from deft.embedding.candidates import Pool
from deft.embedding.indexed_search import EXACT, IVF
from deft.embedding.model_files import encoder_files
from deft.embedding.selection import Selection, select, select_by_index
from deft.embedding.sets import EMBEDDING, FILEPATH
from deft.errors import InputRefused, UsageError
from deft.platforms.base import Platform, ToolCall
from deft.preflight.plan import gpu_count
from deft.preflight.settings import DEFAULT, USER, Facts, Settings, settle
from deft.progress import Progress
from deft.shards.mining_work import Sides, rule_of
from deft.stages.data_mining import (
    POOL_EMBEDDINGS,
    TARGET_EMBEDDINGS,
    write_knn_summary,
    write_mining_summary,
)
from deft.stages.routing import uncovered_labels
from deft.steps.gate import Record, Step
from deft.steps.mining_tables import MiningTable
from deft.workspace.rows import PASS

KIND = "mine"
PAIR = "deft_pair"
GOLDEN = "golden_filepath"
BATCH_SIZE = 64
INDEX_USE = "index.json"
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


class Settled:
    """A request whose every setting stands with its source."""

    @property
    def settings(self) -> Settings:
        """Return every setting with its source."""
        raise NotImplementedError

    def _value(self, name: str) -> Any:
        return self.settings[name]["value"]


@dataclass(frozen=True)
class MiningRequest(Settled):
    """Weak samples, the pool to search, and what the user said about how (`given`, by setting)."""

    targets: Path
    pool: Path
    output: Path
    platform: str
    given: Mapping[str, Any]
    index: str | None = None

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
        index = {"value": self.index or EXACT, "source": DEFAULT if self.index is None else USER}
        if index["value"] not in (EXACT, IVF):
            raise UsageError("unknown index", value=self.index, hint=f"{EXACT} or {IVF}")
        return {**{name: settled[name] for name in (*OPTIONS, "num_gpus")}, "index": index}

    def step(self) -> Step:
        """Check both tables and that a search can find anything, and say what would happen."""
        targets, pool = MiningTable.read(self.targets), MiningTable.read(self.pool)
        self._require_encoder_inputs(targets, pool)
        advice = self.coverage(targets, pool)
        given = [(OPTIONS[name], str(value)) for name, value in self.given.items() if value is not None]
        given += [("--index", self.index)] if self.index else []
        options = [("--output-dir", str(self.output)), *given, ("--platform", self.platform)]
        checkpoint, encoder = Path(str(self._value("encoder_path") or "")), encoder_files(self.settings)
        return Step(
            kind=KIND,
            arguments=(KIND, str(self.targets), str(self.pool), *(word for pair in options for word in pair)),
            inputs=(self.targets, self.pool, *([checkpoint] if checkpoint.is_file() else []), *encoder),
            settings=self.settings,
            results=self.output / "mining_results",
            writes=WRITES,
            calls={"embedding image_embeddings": 1 if pool.is_embedded else 2},
            platform=self.platform,
            advice=advice,
        )

    def _require_encoder_inputs(self, targets: MiningTable, pool: MiningTable) -> None:
        """Refuse a pair encoder without its checkpoint or without goldens."""
        if self._value("encoder") != PAIR:
            return
        if not Path(str(self._value("encoder_path") or "")).is_file():
            raise UsageError(
                "the pair encoder needs a checkpoint",
                value=self._value("encoder_path") or "none given",
                hint="--encoder-path CHECKPOINT",
            )
        for side in (targets, pool):
            if GOLDEN not in side.columns:
                raise InputRefused(
                    f"the pair encoder needs the column {GOLDEN}",
                    value=side.path,
                    hint="weak_components.parquet of deft analyze-gaps, source_pool.parquet of a run",
                )

    def coverage(self, targets: MiningTable, pool: MiningTable) -> tuple[str, ...]:
        """Refuse a search whose label filter leaves no candidate for any target; name what is uncovered."""
        rule = self._value("filter_by_label")
        if rule == "none":
            return ()
        wanted, offered = targets.normal_labels(), pool.normal_labels()
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
        sides = Sides.open(
            folder / TARGET_EMBEDDINGS, folder / POOL_EMBEDDINGS, self._value("filter_by_label")
        )
        files.write_yaml(folder / MINING_SPEC, mining_spec(self._value))
        rule = rule_of(self._value)
        if self._value("index") == EXACT:
            return write_selection(folder, sides.pool, select(sides.targets, sides.pool, rule, already=set()))
        selection, use = select_by_index(sides.targets, sides.pool, rule, already=set())
        files.write_json(folder / INDEX_USE, asdict(use))
        return {**write_selection(folder, sides.pool, selection), "index": use.text()}

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
        if MiningTable.read(self.pool).is_embedded:
            streams.copy(self.pool, embedded)
            return [targets]
        return [self._call(folder, "pool", self._as_parquet(folder), embedded, {}), targets]

    def _as_parquet(self, folder: Path) -> Path:
        """Return the pool as Parquet: a CSV is converted, its columns as they are."""
        if self.pool.suffix.lower() != ".csv":
            return self.pool
        return files.write_parquet(folder / "source_pool.parquet", files.read_csv(self.pool))

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


def mining_spec(value: Callable[[str], Any]) -> Record:
    """Return the spec with which `deft tool tmm nearest_neighbors` makes the same search by hand.

    The container knows equal labels only, and no similarity cut: both are applied here.
    """
    return {
        "topn": value("top_k_per_target"),
        "knn_metric": value("knn_metric"),
        "filter_by_label": "true" if value("filter_by_label") == "label" else "false",
        "source_embed_column_name": EMBEDDING,
        "target_embed_column_name": EMBEDDING,
    }


def write_selection(folder: Path, pool: Pool, selection: Selection) -> Record:
    """Write what was chosen and why; return what a reader wants to know of it."""
    kept, neighbours = selection.kept, selection.neighbours
    found = pool.rows_of(set(kept))
    labelled = found if "label" in found else found.assign(label="unlabelled")
    rows = labelled.drop_duplicates(FILEPATH).set_index(FILEPATH, drop=False).loc[kept]
    targets = int(neighbours["target_filepath"].nunique())
    files.write_parquet(folder / "mined.parquet", pd.DataFrame({FILEPATH: kept}, dtype=object))
    files.write_parquet(folder / "neighbours.parquet", neighbours)
    write_knn_summary(folder, selection, len(kept))
    write_mining_summary(folder, selection, rows, targets)
    uncovered = [f"pool holds no candidate for {name} targets" for name in selection.without_candidates]
    return {
        "mined": len(kept),
        "targets": targets,
        "candidates": int(neighbours["source_filepath"].nunique()),
        "similarity_cut": selection.cut,
        "warnings": [*uncovered, *_yield_warning(selection)],
    }


def _yield_warning(selection: Selection) -> list[str]:
    if selection.kept:
        return []
    reasons = ", ".join(sorted(set(selection.neighbours["reason"]) - {""})) or "no candidates"
    return [f"nothing was mined ({reasons}); --min-similarity p25 cuts relative to the pool"]
