"""Derive every spec anew from plan and workspace and compare whole records; compare the images they name.

A spec decides what was trained on, validated on and looked at, so no key of it may be another. A run that was
copied with its workspace agrees: paths are compared as they are now.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deft import files
from deft.run.audit_evidence import Evidence
from deft.run.gap_spec import gap_spec
from deft.run.places import Places
from deft.workspace.image_digests import approved_digests, split_digests
from deft.workspace.layout import Workspace
from deft.workspace.safe_path import fault_of
from deft.workspace.training_spec import TrainingSettings, inference_spec, read_baseline_spec, training_spec

Record = dict[str, Any]
TRAINING_SPEC = "train_spec.yaml"
INFERENCE_SPEC = "inference_spec.yaml"
GAP_SPEC = "vcn_aoi_spec.yaml"
NO_WORKSPACE = "the workspace of the plan is not here"


def relocated(record: Any, places: Places) -> Any:
    """Return a record with every path of the recorded workspace as it is now."""
    if isinstance(record, Mapping):
        return {name: relocated(value, places) for name, value in record.items()}
    if isinstance(record, list):
        return [relocated(value, places) for value in record]
    is_path = isinstance(record, str) and record.startswith("/") and not fault_of(record)
    return str(places.found(record)) if is_path else record


def baseline_spec(evidence: Evidence, workspace: Workspace) -> Record:
    """Return the user's spec, whose paths may be those of the place that it was copied from."""
    spec: Record = relocated(read_baseline_spec(workspace), evidence.places)
    return spec


# --- training --------------------------------------------------------------------------------


def check_training(
    evidence: Evidence,
    spec: Record,
    file: Path | str,
    table: str | None = None,
    warm_start: str | None = None,
) -> None:
    """Compare the spec of a training with the plan's; `table` is an iteration's combined one, as recorded."""
    _check_settings(evidence, spec, file, warm_start)
    _check_tables(evidence, spec, file, table)
    if evidence.workspace is None:
        evidence.tally.skip(f"{TRAINING_SPEC} but for settings, tables and warm start: {NO_WORKSPACE}")
        return
    agreed = training_spec(
        baseline_spec(evidence, evidence.workspace),
        evidence.workspace,
        TrainingSettings.from_plan(evidence.plan),
        combined_table=None if table is None else Path(table),
        warm_start=None if warm_start is None else Path(warm_start),
    )
    evidence.agree("spec", file, relocated(agreed, evidence.places), relocated(spec, evidence.places))


def _check_settings(evidence: Evidence, spec: Record, file: Path | str, warm_start: str | None) -> None:
    section = spec["train"]
    agreed = {name: evidence.setting(name) for name in ("num_epochs", "seed", "batch_size")}
    found = {name: section.get(name) for name in ("num_epochs", "seed")}
    batch = spec["dataset"]["classify"].get("batch_size")
    evidence.agree("spec", file, agreed, {**found, "batch_size": batch})
    evidence.agree("warm start", file, warm_start, section.get("pretrained_model_path"))
    evidence.agree("resumed checkpoint", file, None, section.get("resume_training_checkpoint_path"))


def _check_tables(evidence: Evidence, spec: Record, file: Path | str, table: str | None) -> None:
    """Compare the table of each split: the plan knows where they stood, whether or not they are here."""
    workspace = Workspace(evidence.places.recorded_workspace)
    agreed = {
        "train": table or str(workspace.training_table),
        "validation": str(workspace.validation_table),
        "test": str(workspace.kpi_table),
        "infer": str(workspace.kpi_table),
    }
    classify = spec["dataset"]["classify"]
    found = {split: classify[f"{split}_dataset"]["csv_path"] for split in agreed}
    evidence.agree("table", file, agreed, found)


# --- inference and gap analysis --------------------------------------------------------------


def check_inference(evidence: Evidence) -> None:
    """Compare the spec of an evaluation with the training's, and that of a baseline with the plan."""
    recorded = evidence.figures(evidence.phase.name)["training_spec"]
    path = evidence.places.found(recorded)
    training = files.read_yaml(path)
    if evidence.phase.number == 0:
        check_training(evidence, training, path)
    agreed = inference_spec(training, batch_size=evidence.setting("inference_batch_size"))
    found = files.read_yaml(evidence.folder / INFERENCE_SPEC)
    evidence.agree("spec", INFERENCE_SPEC, agreed, found)


def check_gap_analysis(evidence: Evidence) -> Record:
    """Return the spec that an analysis of the incumbent must have had, after comparing its own."""
    incumbent = evidence.incumbent
    training = files.read_yaml(evidence.places.found(incumbent["training_spec"]))
    images = training["dataset"]["classify"]["infer_dataset"]["images_dir"]
    agreed = gap_spec(evidence.plan, incumbent, images)
    evidence.agree("spec", GAP_SPEC, agreed, files.read_yaml(evidence.folder / GAP_SPEC))
    return agreed


# --- images ----------------------------------------------------------------------------------


def check_images(evidence: Evidence, *splits: str) -> None:
    """Compare the images that a stage looked at with those of the plan; without the workspace name them."""
    recorded = Workspace(evidence.places.recorded_workspace)
    agreed = approved_digests(evidence.plan, recorded, splits)
    workspace = evidence.workspace
    if workspace is None:
        evidence.tally.skip(f"{', '.join(agreed)}: {NO_WORKSPACE}")
        return
    found = split_digests(workspace, splits, baseline_spec(evidence, workspace))
    evidence.agree("content of the", evidence.run.plan, agreed, found)
