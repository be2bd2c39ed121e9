"""Redo what the stages about models recorded: training, evaluation, gap analysis, hand-over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from deft import files
from deft.metrics.kpi import SCHEMA_VERSION
from deft.metrics.kpi_analysis import analyse
from deft.metrics.kpi_files import RECORD, kpi_record
from deft.metrics.target import Target
from deft.metrics.weak_samples import choose_point, expand, score_table, weakest_rows
from deft.run.audit_evidence import Evidence, without_newer
from deft.run.audit_specs import (
    TRAINING_SPEC,
    check_gap_analysis,
    check_images,
    check_inference,
    check_training,
)
from deft.run.evaluation import (
    BEST,
    LATEST,
    NOT_IN_STATE,
    PROMOTION,
    SCORES,
    choose,
    compared_checkpoints,
    complete_figures,
    decision,
    read_scores,
)
from deft.run.handoff import handoff_records
from deft.run.transitions import HARD_STOP, stop_reason
from deft.workspace.checkpoints import CHECKPOINT_NAME, best_epoch, recorded_losses
from deft.workspace.image_digests import SCORED, TRAINED
from deft.workspace.layout import Workspace
from deft.workspace.rows import PASS, REQUIRED, read_table

Record = dict[str, Any]


# --- training --------------------------------------------------------------------------------


def train(evidence: Evidence) -> Record:
    """Return the values of a training that was validated, with new checkpoints and the agreed spec."""
    names = {int(m[1]): name for name in sorted(evidence.hashes) if (m := CHECKPOINT_NAME.fullmatch(name))}
    losses = {epoch: loss for epoch, loss in recorded_losses(evidence.folder).items() if epoch in names}
    if not losses:
        raise evidence.refuse("validated epochs", "status.json", "at least one", "none that has a checkpoint")
    _require_new(evidence, names.values())
    _check_training_spec(evidence)
    check_images(evidence, *TRAINED)
    return {
        "best_ckpt_path": evidence.recorded(names[best_epoch(losses)]),
        "best_ckpt_kind": BEST,
        "latest_ckpt_path": evidence.recorded(names[max(names)]),
        "val_loss": min(losses.values()),
        "training_spec": evidence.recorded(TRAINING_SPEC),
        "warm_start_from": evidence.state["incumbent"] if evidence.phase.number else None,
    }


def _require_new(evidence: Evidence, names: Any) -> None:
    """Refuse a checkpoint that an earlier phase trained: a copy counts as no training, whatever its date."""
    known = dict(evidence.tally.checkpoints)
    for name in names:
        evidence.tally.checked += 1
        earlier = known.get(evidence.hashes[name])
        if earlier is not None:
            raise evidence.refuse("checkpoint", name, "a new model", f"a copy of {earlier}")
        if (evidence.folder / name).is_symlink():
            raise evidence.refuse("checkpoint", name, "a file of this phase", "a link")
        evidence.tally.checkpoints[evidence.hashes[name]] = evidence.name_of(name)


def _check_training_spec(evidence: Evidence) -> None:
    spec = files.read_yaml(evidence.folder / TRAINING_SPEC)
    if evidence.phase.number:
        derived = files.read_yaml(evidence.phase.training_spec)
        evidence.agree("spec (the merge's against the training's)", TRAINING_SPEC, derived, spec)
    else:
        check_training(evidence, spec, TRAINING_SPEC)


# --- evaluation ------------------------------------------------------------------------------


def evaluate(evidence: Evidence) -> Record:
    """Return the values of an evaluation from its scores: figures, choice, promotion, target."""
    check_inference(evidence)
    check_images(evidence, *SCORED)
    kinds = compared_checkpoints(evidence.figures(evidence.phase.name))
    target = Target.from_record(evidence.plan["target"])
    figures = {kind: _figures(evidence, kind, target) for kind in kinds}
    if LATEST not in kinds:
        best, copy = (evidence.hashes.get(f"{kind}/{SCORES}") for kind in (BEST, LATEST))
        evidence.agree("copied scores", f"{LATEST}/{SCORES}", best, copy)
    rule = evidence.plan.get("promotion", PROMOTION)
    chosen = choose(target, figures, rule)
    incumbent = evidence.incumbent["kpi"] if evidence.phase.number else None
    scores = evidence.recorded(f"{chosen}/{SCORES}")
    values = decision(evidence.phase.name, figures[chosen], target, incumbent, scores, rule)
    return {"best_ckpt_path": str(kinds[chosen]), "best_ckpt_kind": chosen, **values}


def _figures(evidence: Evidence, kind: str, target: Target) -> Record:
    folder = evidence.folder / kind
    _check_scored_rows(evidence, folder)
    kpi = kpi_record(analyse(folder / SCORES, "label", "siamese_score", PASS))
    recorded = files.read_json(folder / RECORD)
    figures = _of_its_time(evidence, recorded, complete_figures(kpi, folder, target))
    evidence.agree("figures", folder / RECORD, recorded, figures)
    return figures


def _of_its_time(evidence: Evidence, recorded: Record, figures: Record) -> Record:
    """Leave out of the figures what the version that made an older record did not compute yet."""
    version = recorded.get("schema_version")
    if not isinstance(version, int) or version >= SCHEMA_VERSION:
        return figures
    explained = {name: recorded[name] for name in NOT_IN_STATE if name in recorded}
    kept, newer = without_newer(recorded, figures)
    evidence.tally.skip(f"figures that kpi.json of version {version} did not hold: {', '.join(newer)}")
    return {**kept, **explained}


def _check_scored_rows(evidence: Evidence, folder: Path) -> None:
    """Require a score for every row of every set: leaving out the hard ones would better any figure."""
    if evidence.workspace is None:
        return
    for name, table in _scored_sets(evidence.workspace).items():
        path = folder / name / SCORES
        rows = read_table(table)[list(REQUIRED)]
        evidence.agree_on_rows(f"rows of {table.name}", path, rows, read_scores(path)[list(REQUIRED)])


def _scored_sets(workspace: Workspace) -> Mapping[str, Path]:
    """Return the table of each scored set by the folder of its scores."""
    sets = {"": workspace.kpi_table, "validation": workspace.validation_table}
    return {**sets, "holdout": workspace.holdout_table} if workspace.holdout_table.is_file() else sets


# --- gap analysis ----------------------------------------------------------------------------


def rca(evidence: Evidence) -> Record:
    """Return the values of a gap analysis of the incumbent's scores: threshold and weakest of each label."""
    spec = check_gap_analysis(evidence)
    incumbent = evidence.incumbent
    table = score_table(pd.read_csv(evidence.places.found(incumbent["inference_csv"])))
    threshold = choose_point(table, spec["threshold"], spec["min_recall"]).threshold
    gaps = evidence.read_rows("kpi_gaps.parquet")
    weak = weakest_rows(table, threshold, spec["top_k_per_label"])
    lights, extension = image_naming(evidence, incumbent)
    evidence.agree_on_rows(
        "gaps",
        evidence.folder / "kpi_gaps.parquet",
        gaps,
        expand(weak, lights, extension, spec["kpi_media_path"]),
    )
    found = float(files.read_text(evidence.folder / "threshold.txt"))
    evidence.agree("threshold", "threshold.txt", found, threshold)
    return {
        "rca_gaps_parquet": evidence.recorded("kpi_gaps.parquet"),
        "rca_threshold": threshold,
        "rca_target_defects": sorted(set(gaps["label"]) - {PASS}),
        "rca_folder": evidence.recorded(""),
        "rca_of": evidence.state["incumbent"],
    }


def image_naming(evidence: Evidence, phase: Record) -> tuple[list[str] | None, str]:
    """Return the lights and the image extension of a phase's training spec."""
    classify = files.read_yaml(evidence.places.found(phase["training_spec"]))["dataset"]["classify"]
    lights = classify["input_map"]
    return (None if lights is None else [str(light) for light in lights]), classify["image_ext"]


# --- the end ---------------------------------------------------------------------------------


def loop_stop(evidence: Evidence) -> Record:
    """Return why the loop had to stop, after comparing both copies of the hand-over with the incumbent."""
    reason = stop_reason(evidence.entries, evidence.plan) or HARD_STOP
    checkpoint = evidence.places.found(evidence.incumbent["best_ckpt_path"])
    if not checkpoint.is_relative_to(evidence.run.root) and not checkpoint.is_file():
        evidence.tally.skip(f"the hand-over: its checkpoint {checkpoint} is not here")
        return {"stop_reason": reason}
    record, spec = handoff_records(evidence.state, evidence.places.found)
    model, inference = evidence.run.best_model, evidence.run.inference_spec
    for path in (evidence.folder / model.name, model):
        evidence.agree("hand-over", path, files.read_json(path), record)
    for path in (evidence.folder / inference.name, inference):
        evidence.agree("hand-over", path, files.read_yaml(path), spec)
    return {"stop_reason": reason}
