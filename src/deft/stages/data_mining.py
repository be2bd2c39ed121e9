"""Mine the pool for look-alikes of the weakest samples: embed both sides, then choose host-side."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pandas as pd

from deft import files
from deft.embedding.candidates import Embedded, Rule
from deft.embedding.model_files import encoder_files
from deft.embedding.selection import Selection, draw_randomly, select
from deft.embedding.sets import EmbeddingSet
from deft.embedding.tables import EmbeddingTable, require_same_space
from deft.metrics.weak_samples import weakest_targets
from deft.platforms.base import ToolCall
from deft.stages.base import Outcome, Record, Stage, StageContext
from deft.untrusted import untrusted
from deft.workspace.layout import phase_name
from deft.workspace.leakage import LeakageReport, Side, assert_disjoint, find_overlaps
from deft.workspace.rows import COLUMNS, ImageLayout, write_table
from deft.workspace.sides import workspace_sides
from deft.workspace.training_spec import read_baseline_spec

POOL_EMBEDDINGS = "source_embeddings.parquet"
TARGET_EMBEDDINGS = "target_embeddings.parquet"
YIELD_DROP = 0.5
PARAMETERS = (
    "mining",
    "top_k_per_target",
    "knn_metric",
    "filter_by_label",
    "min_similarity",
    "synthetic_share",
    "targets_pass",
    "targets_defect",
    "encoder",
    "encoder_path",
    "precision",
    "seed",
)


class DataMining(Stage):
    """Fill `mining_filter/`: embeddings, neighbours with their fate, and the mined rows."""

    name: ClassVar[str] = "data_mining"
    keeps_partial_work: ClassVar[bool] = True

    def place(self, context: StageContext) -> Path:
        return context.phase.mining_filter

    def reads(self, context: StageContext) -> list[Path]:
        pool = context.run.synth_pool.source_parquet
        encoder = [*_checkpoint(context), *encoder_files(context.plan["settings"])]
        return [_routed(context), pool, *_earlier_tables(context), *encoder]

    def parameters(self, context: StageContext) -> Record:
        return {name: context.setting(name) for name in PARAMETERS}

    def work(self, context: StageContext, folder: Path) -> Outcome:
        pool = files.read_parquet(context.run.synth_pool.source_parquet)
        if context.setting("mining") == "none":
            return self._write(context, folder, pool, [], Selection(_nothing(), [], None, ()))
        targets = files.write_parquet(folder / "targets.parquet", self._targets(context))
        self._embed(context, folder, targets)
        wanted = EmbeddingSet.read(folder / TARGET_EMBEDDINGS)
        offered = EmbeddingTable.open(folder / POOL_EMBEDDINGS)
        require_same_space(wanted, offered)
        already = mined_before(context)
        embedded = Embedded(wanted.table, wanted.matrix)
        selection = select(embedded, offered, self._rule(context), already=already)
        kept = selection.kept
        if context.setting("mining") == "random":
            seed = context.setting("seed") + context.phase.number
            kept = draw_randomly(offered, len(kept), already=already, seed=seed)
        return self._write(context, folder, pool, kept, selection)

    def _targets(self, context: StageContext) -> pd.DataFrame:
        """Return the routed components that are mined for."""
        limits = context.setting("targets_pass"), context.setting("targets_defect")
        return weakest_targets(files.read_parquet(_routed(context)), *limits)

    def _rule(self, context: StageContext) -> Rule:
        return Rule(
            top_k=context.setting("top_k_per_target"),
            metric=context.setting("knn_metric"),
            label_filter=context.setting("filter_by_label"),
            min_similarity=context.setting("min_similarity"),
            synthetic_share=context.setting("synthetic_share"),
        )

    def _embed(self, context: StageContext, folder: Path, targets: Path) -> None:
        """Embed the pool first: the pair encoder is standardised on the pool, targets follow it."""
        spec = files.write_yaml(folder / "embedding_spec.yaml", embedding_spec(context))
        pool = folder / POOL_EMBEDDINGS
        sides = {
            "pool": (context.run.synth_pool.source_parquet, pool, {}),
            "targets": (targets, folder / TARGET_EMBEDDINGS, _statistics(context, pool)),
        }
        context.call(
            [
                ToolCall(
                    category="embedding",
                    action="image_embeddings",
                    spec=spec,
                    overrides={"input_parquet": source, "output_parquet": output, **more},
                    reads=(context.run.workspace.root,),
                    writes=folder,
                    log=folder / f"embed_{side}.log",
                    title=f"embed {side} {context.phase.name}",
                    gpus=context.setting("num_gpus"),
                )
                for side, (source, output, more) in sides.items()
            ]
        )

    def _write(
        self,
        context: StageContext,
        folder: Path,
        pool: pd.DataFrame,
        kept: list[str],
        selection: Selection,
    ) -> Outcome:
        rows = pool.set_index("filepath", drop=False).loc[kept].drop_duplicates("filepath")
        write_table(folder / "mining_pool.csv", rows[[*COLUMNS, "provenance"]])
        files.write_parquet(folder / "mined.parquet", pd.DataFrame({"filepath": kept}, dtype=object))
        files.write_parquet(folder / "neighbours.parquet", selection.neighbours)
        write_knn_summary(folder, selection, len(kept))
        synthetic = int((rows["provenance"] == "sdg").sum())
        targets = selection.neighbours["target_filepath"].nunique()
        write_mining_summary(folder, selection, rows, targets)
        leakage = require_new_content(context, rows)
        filtered: tuple[str, ...] = ()
        if context.setting("mining") != "none":
            filtered = filter_events(files.read_parquet(_routed(context)), selection.neighbours, rows)
        return Outcome(
            summary=f"{len(kept)} new rows ({synthetic} synthetic) for {targets} targets",
            values={
                "mining_mined_parquet": folder / "mined.parquet",
                "mining_mined_count": len(kept),
                **({} if context.setting("mining") == "none" else {"new_rows": len(kept)}),
                "mining_synthetic_count": synthetic,
                "mining_targets": int(targets),
            },
            events=(*mining_events(context, selection, len(kept)), *filtered, *leakage.sentences()),
        )


def _routed(context: StageContext) -> Path:
    return Path(context.figures(context.phase.name)["routing_mining_parquet"])


def _checkpoint(context: StageContext) -> list[Path]:
    """Return the checkpoint the pair encoder reads: the incumbent's, whatever path a plan names."""
    if context.setting("encoder") != "deft_pair":
        return []
    return [Path(context.figures(context.incumbent)["best_ckpt_path"])]


def embedding_spec(context: StageContext) -> Record:
    """Return the spec that drives both embedding calls: one encoder, one batch size, one precision.

    A plan that trains in bfloat16 embeds in it as well, where the tool knows the key: the container does not.
    """
    encoder, path = context.setting("encoder"), context.setting("encoder_path")
    if encoder == "deft_pair":
        return {"model": encoder, "model_path": str(_checkpoint(context)[0]), "batch_size": 64}
    spec: Record = {"model": encoder, "model_path": path, "batch_size": 64}
    if context.platform.name == "embedded" and context.setting("precision") == "bf16-mixed":
        spec["precision"] = "bf16"
    return spec


def _statistics(context: StageContext, pool: Path) -> dict[str, object]:
    return {"statistics_parquet": pool} if context.setting("encoder") == "deft_pair" else {}


def _earlier_tables(context: StageContext) -> list[Path]:
    phases = [context.run.phase(phase_name(n)) for n in range(1, context.phase.number)]
    return [phase.mining_filter / "mined.parquet" for phase in phases]


def mined_before(context: StageContext) -> set[str]:
    """Return every row that an earlier iteration mined: no row is mined twice."""
    tables = [files.read_parquet(path) for path in _earlier_tables(context)]
    return {path for table in tables for path in table["filepath"]}


def _nothing() -> pd.DataFrame:
    types = {"rank": "int64", "similarity": "float64", "kept": "bool"}
    names = ("target_filepath", "source_filepath", "rank", "similarity", "kept", "reason")
    return pd.DataFrame({name: pd.Series(dtype=types.get(name, "object")) for name in names})


def write_knn_summary(folder: Path, selection: Selection, kept: int) -> None:
    """Write one row: candidates = kept + rejected, and the cut (empty where there is none)."""
    candidates = int(selection.neighbours["source_filepath"].nunique())
    row = {
        "candidate_count": max(candidates, kept),
        "kept_count": kept,
        "rejected_count": max(candidates, kept) - kept,
        "similarity_threshold": "" if selection.cut is None else repr(float(selection.cut)),
    }
    files.write_csv(folder / "knn_summary.csv", pd.DataFrame([row]))


def write_mining_summary(folder: Path, selection: Selection, rows: pd.DataFrame, targets: int) -> None:
    """Write what the container would, and the per-label breakdown that it lacks."""
    reasons = selection.neighbours["reason"].value_counts()
    lines = [
        "Summary:",
        f"  Target queries: {targets}",
        f"  Total pairs: {len(selection.neighbours)}",
        *(f"  Not kept, {reason}: {count}" for reason, count in sorted(reasons.items()) if reason),
        f"  Unique items saved: {len(rows)}",
        "  Kept by label:",
        *(
            f"    {untrusted(label)}: {count}"
            for label, count in sorted(rows["label"].value_counts().items())
        ),
    ]
    files.write_text(folder / "mining_summary.txt", "\n".join(lines) + "\n")


def require_new_content(context: StageContext, rows: pd.DataFrame) -> LeakageReport:
    """Compare what was mined with training, validation, KPI and held-out images; refuse any that is there."""
    workspace = context.run.workspace
    layout = ImageLayout.from_spec(read_baseline_spec(workspace))
    mined = Side.of_table("mined", rows.reset_index(drop=True), workspace.root, layout)
    sides = workspace_sides(workspace, ("train", "validation", "kpi", "holdout"))
    report = find_overlaps([*sides, mined], against="mined")
    assert_disjoint(report)
    return report


def mining_events(context: StageContext, selection: Selection, kept: int) -> tuple[str, ...]:
    """Name what a reader must not miss: labels without candidates, a yield that dropped by half."""
    events = [f"pool holds no candidate for {name} targets" for name in selection.without_candidates]
    before = context.figures(phase_name(context.phase.number - 1)).get("mining_mined_count")
    if before and kept < before * (1 - YIELD_DROP):
        events.append(f"mining yield fell from {before} to {kept} rows")
    return tuple(events)


def filter_events(routed: pd.DataFrame, neighbours: pd.DataFrame, rows: pd.DataFrame) -> tuple[str, ...]:
    """Name what no filter may do in silence: targets not asked for, labels without a row, rows left out."""
    asked = neighbours["target_filepath"].nunique()
    events = [f"mined for {asked} of {len(routed)} weak components"] if asked < len(routed) else []
    without = sorted(set(routed["label"]) - set(rows["label"]))
    events += [f"no row was mined that is labelled {name}" for name in without]
    kept = set(neighbours.loc[neighbours["kept"], "source_filepath"])
    lost = neighbours[~neighbours["source_filepath"].isin(kept)].drop_duplicates("source_filepath")
    counts = lost["reason"].value_counts().sort_index()
    return (*events, *(f"{count} pool rows left out: {reason}" for reason, count in counts.items()))
