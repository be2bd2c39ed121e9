"""Redo what the stages about rows recorded: routing, the pool, mining, the merge."""

from __future__ import annotations

from typing import Any

import pandas as pd

from deft import files
from deft.embedding.candidates import Embedded, Rule
from deft.embedding.selection import Selection, draw_randomly, select
from deft.embedding.sets import EmbeddingSet, require_same_encoder
from deft.metrics.weak_samples import GAP_COLUMNS, weakest_targets
from deft.run.audit_evidence import Evidence
from deft.run.audit_models import image_naming
from deft.run.audit_specs import TRAINING_SPEC, baseline_spec, check_training
from deft.workspace.image_columns import resolve_images
from deft.workspace.layout import Phase, Workspace, phase_name
from deft.workspace.leakage import LeakageReport, Side, find_overlaps
from deft.workspace.rows import (
    COLUMNS,
    REQUIRED,
    ImageLayout,
    prefix_rows,
    read_table,
)
from deft.workspace.sides import workspace_sides
from deft.workspace.source_pool import pool_digest
from deft.workspace.training_spec import images_folder, read_baseline_spec

Record = dict[str, Any]


# --- routing ---------------------------------------------------------------------------------


def routing(evidence: Evidence) -> Record:
    """Return the values of a routing that sent every weak component of the last analysis to mining."""
    previous = evidence.figures(phase_name(evidence.phase.number - 1))
    gaps = files.read_parquet(evidence.places.found(previous["rca_gaps_parquet"]))
    lights, _ = image_naming(evidence, evidence.incumbent)
    components = gaps.iloc[:: len(lights or [""])].drop_duplicates("filepath").reset_index(drop=True)
    mining, anomalygen = (evidence.read_rows(f"{name}_gaps.parquet") for name in ("mining", "anomalygen"))
    queue = evidence.folder / "mining_gaps.parquet"
    evidence.agree_on_rows("queue", queue, mining[list(GAP_COLUMNS)], components[list(GAP_COLUMNS)])
    evidence.agree("rows left for generation", "anomalygen_gaps.parquet", len(anomalygen), 0)
    return {
        "routing_mining_parquet": evidence.recorded("mining_gaps.parquet"),
        "routing_anomalygen_parquet": evidence.recorded("anomalygen_gaps.parquet"),
    }


# --- the pool --------------------------------------------------------------------------------


def anomalygen(evidence: Evidence) -> Record:
    """Return the values of an ingestion whose pool agrees with its manifest and with the plan."""
    pool = evidence.run.synth_pool
    manifest, summary = files.read_json(pool.manifest), evidence.read_record("ingest_summary.json")
    agreed = evidence.plan["pool"]["digest"]
    evidence.agree("digest of the pool", pool.manifest, manifest["digest"], agreed)
    told = {"manifest": "synth_pool/manifest.json", "digest": agreed, **manifest["counts"]}
    evidence.agree("summary", "ingest_summary.json", summary, told)
    rows = files.read_parquet(pool.source_parquet)
    real, synthetic = (int((rows["provenance"] == kind).sum()) for kind in ("real", "sdg"))
    counts = {"real_rows": real, "sdg_rows": synthetic, "total_rows": len(rows)}
    recorded = {name: manifest["counts"].get(name) for name in counts}
    evidence.agree("rows of the pool", pool.source_parquet, recorded, counts)
    if evidence.workspace is not None:
        evidence.agree("pool on disk", "synth_pool", agreed, pool_digest(evidence.workspace))
    return {"anomalygen_ingest": evidence.recorded("ingest_summary.json")}


# --- mining ----------------------------------------------------------------------------------


def data_mining(evidence: Evidence) -> Record:
    """Return the values of a mining whose neighbours are found again and whose rows are new."""
    pool = files.read_parquet(evidence.run.synth_pool.source_parquet)
    already = _mined_before(evidence)
    selection, kept = _select_again(evidence, pool, already)
    mined = evidence.read_rows("mined.parquet")["filepath"].tolist()
    _require_new_rows(evidence, mined, pool, already)
    evidence.agree("mined rows", "mined.parquet", mined, kept)
    known = pool.drop_duplicates("filepath").set_index("filepath", drop=False)
    rows = known.loc[kept].reset_index(drop=True)
    table = files.read_csv(evidence.folder / "mining_pool.csv")
    columns = [*COLUMNS, "provenance"]
    evidence.agree_on_rows("rows", evidence.folder / "mining_pool.csv", table, rows[columns])
    targets = _check_neighbours(evidence, selection, len(kept))
    count = {} if evidence.setting("mining") == "none" else {"new_rows": len(kept)}
    return {
        "mining_mined_parquet": evidence.recorded("mined.parquet"),
        "mining_mined_count": len(kept),
        **count,
        "mining_synthetic_count": int((rows["provenance"] == "sdg").sum()),
        "mining_targets": targets,
    }


def _mined_before(evidence: Evidence) -> set[str]:
    tables = [
        files.read_parquet(evidence.run.phase(phase_name(n)).mining_filter / "mined.parquet")
        for n in range(1, evidence.phase.number)
    ]
    return {path for table in tables for path in table["filepath"]}


def _require_new_rows(evidence: Evidence, mined: list[str], pool: pd.DataFrame, already: set[str]) -> None:
    known = set(pool["filepath"])
    seen: set[str] = set()
    for path in mined:
        evidence.tally.checked += 1
        if path not in known:
            raise evidence.refuse("mined row", "mined.parquet", "a row of the source pool", path)
        if path in already or path in seen:
            raise evidence.refuse("mined row", "mined.parquet", "a row never mined before", path)
        seen.add(path)


def _select_again(
    evidence: Evidence, pool: pd.DataFrame, already: set[str]
) -> tuple[Selection | None, list[str]]:
    """Return the selection that the embeddings on disk make, and the rows that it keeps."""
    if evidence.setting("mining") == "none":
        return None, []
    wanted, offered = _embedded(evidence, pool)
    selection = select(wanted, offered, _rule(evidence), already=already)
    if evidence.setting("mining") == "random":
        seed = evidence.setting("seed") + evidence.phase.number
        return selection, draw_randomly(offered, len(selection.kept), already=already, seed=seed)
    return selection, selection.kept


def _embedded(evidence: Evidence, pool: pd.DataFrame) -> tuple[Embedded, Embedded]:
    queue = files.read_parquet(
        evidence.places.found(evidence.figures(evidence.phase.name)["routing_mining_parquet"])
    )
    limits = evidence.setting("targets_pass"), evidence.setting("targets_defect")
    rows = {"target": weakest_targets(queue, *limits), "source": pool}
    sets = [EmbeddingSet.read(evidence.folder / f"{side}_embeddings.parquet") for side in rows]
    require_same_encoder(*sets)
    columns = ["filepath", "label"]
    for each, expected in zip(sets, rows.values(), strict=True):
        evidence.agree_on_rows("embedded rows", each.path, each.table[columns], expected[columns])
    target, source = (Embedded(each.table, each.matrix) for each in sets)
    return target, source


def _rule(evidence: Evidence) -> Rule:
    return Rule(
        top_k=evidence.setting("top_k_per_target"),
        metric=evidence.setting("knn_metric"),
        label_filter=evidence.setting("filter_by_label"),
        min_similarity=evidence.setting("min_similarity"),
        synthetic_share=evidence.setting("synthetic_share"),
    )


def _check_neighbours(evidence: Evidence, selection: Selection | None, kept: int) -> int:
    """Compare every candidate and its fate, and the counts; return the number of targets."""
    recorded = evidence.read_rows("neighbours.parquet")
    if selection is None:
        evidence.agree("candidates", "neighbours.parquet", len(recorded), 0)
    else:
        path = evidence.folder / "neighbours.parquet"
        evidence.agree_on_rows("candidates", path, recorded, selection.neighbours)
    candidates = max(int(recorded["source_filepath"].nunique()), kept)
    counts = {"candidate_count": candidates, "kept_count": kept, "rejected_count": candidates - kept}
    summary = files.read_csv(evidence.folder / "knn_summary.csv").iloc[0]
    told = {name: int(summary[name]) for name in counts}
    evidence.agree("counts", "knn_summary.csv", told, counts)
    return int(recorded["target_filepath"].nunique())


# --- the merge -------------------------------------------------------------------------------


def data_merge(evidence: Evidence) -> Record:
    """Return the values of a merge: every earlier row once more, then the mined ones, and nothing leaks."""
    table, sources = evidence.phase.combined_table, evidence.phase.combined_provenance
    combined, told = read_table(table), files.read_csv(sources)
    expected = _expected_rows(evidence, combined)
    evidence.agree_on_rows("combined rows", table, combined[list(COLUMNS)], expected[list(COLUMNS)])
    columns = ["source", "provenance", *REQUIRED]
    evidence.agree_on_rows("provenance", sources, told, expected[columns])
    leakage = _require_disjoint(evidence, combined)
    _check_validation(evidence, combined, leakage)
    spec = files.read_yaml(evidence.phase.training_spec)
    recorded = evidence.recorded(table.name)
    check_training(evidence, spec, TRAINING_SPEC, recorded, evidence.incumbent["best_ckpt_path"])
    shares = expected["source"].value_counts()
    return {
        "combined_training_csv": recorded,
        "provenance_csv": evidence.recorded(sources.name),
        "merge_validation_report": evidence.recorded("merge_validation.json"),
        "training_rows": {str(name): int(count) for name, count in shares.items()},
    }


def _expected_rows(evidence: Evidence, combined: pd.DataFrame) -> pd.DataFrame:
    mined = _mined_rows(evidence)
    if evidence.phase.number > 1:
        before = _rows_of(evidence.run.phase(phase_name(evidence.phase.number - 1)))
    elif evidence.workspace is not None:
        before = _base_rows(evidence, evidence.workspace)
    else:
        before = combined.head(max(0, len(combined) - len(mined))).assign(
            source="base_train", provenance="base"
        )
    return pd.concat([before, mined], ignore_index=True)


def _mined_rows(evidence: Evidence) -> pd.DataFrame:
    if not evidence.figures(evidence.phase.name)["mining_mined_count"]:
        return pd.DataFrame(columns=[*COLUMNS, "source", "provenance"])
    return read_table(evidence.phase.mining_filter / "mining_pool.csv").assign(source="mining_pool")


def _rows_of(phase: Phase) -> pd.DataFrame:
    known = files.read_csv(phase.combined_provenance)
    return read_table(phase.combined_table).assign(
        source="previous_iter_train", provenance=known["provenance"]
    )


def _base_rows(evidence: Evidence, workspace: Workspace) -> pd.DataFrame:
    """Return the user's rows under the spec's image root, which may name the place it was copied from."""
    root = images_folder(baseline_spec(evidence, workspace), "train", workspace)
    inside = root.is_relative_to(workspace.root)
    prefix = (root.relative_to(workspace.root) if inside else root).as_posix()
    rows = prefix_rows(read_table(workspace.training_table), prefix)
    return rows.assign(source="base_train", provenance="base")


def _require_disjoint(evidence: Evidence, combined: pd.DataFrame) -> LeakageReport | None:
    """Compare the content of every training image with validation, KPI and held-out images."""
    workspace = evidence.workspace
    if workspace is None:
        return None
    layout = ImageLayout.from_spec(read_baseline_spec(workspace))
    resolve_images(combined, workspace.root, layout)
    train = Side.of_table("train", combined, workspace.root, layout)
    others = workspace_sides(workspace, ("validation", "kpi", "holdout"))
    report = find_overlaps([train, *others], against="train")
    if report.identical:
        table = evidence.phase.combined_table
        raise evidence.refuse("leakage", table, "no image on two sides", str(report.identical[0]))
    return report


def _check_validation(evidence: Evidence, combined: pd.DataFrame, leakage: LeakageReport | None) -> None:
    found = {
        "status": "ok",
        "rows_checked": len(combined),
        "missing_file_count": 0,
        "train_val_leakage_overlap_count": 0,
    }
    if leakage is not None:
        found["trivial_overlap_count"] = len(leakage.trivial)
        found["lossy_candidate_count"] = len(leakage.lossy)
    recorded = evidence.read_record("merge_validation.json")
    evidence.agree("validation", "merge_validation.json", {name: recorded.get(name) for name in found}, found)
