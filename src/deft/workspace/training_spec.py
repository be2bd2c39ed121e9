"""Derive every TAO spec from the user's baseline spec, and prove that its tables resolve.

Nothing here can set `resume_training_checkpoint_path`, so an iteration never inherits an epoch
counter; warm start is `pretrained_model_path` alone (contracts/loop.md "Decided").
"""

from __future__ import annotations

import copy
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deft.errors import InputRefused
from deft.files import read_yaml
from deft.workspace.image_columns import resolve_images
from deft.workspace.layout import Workspace
from deft.workspace.rows import ImageLayout, read_table
from deft.workspace.safe_path import Roots

Spec = dict[str, Any]
# What scoring needs of `train`: the loss (TAO asserts its coupling with the model), precision and threads.
SCORING_KEYS = ("classify", "embedded", "precision")
CHECKPOINTED_ACTIONS = ("evaluate", "inference")
# Keys that name a file of weights to begin from: a backbone's, a whole network's without or with its epochs.
BACKBONE_WEIGHTS = "model.backbone.pretrained_backbone_path"
WHOLE_WEIGHTS = ("train.pretrained_model_path", "train.resume_training_checkpoint_path")
# What is read below as a mapping, a parent before its children.
BLOCKS = (
    *("model", "model.backbone", "train", "train.embedded"),
    *(f"dataset.classify.{split}_dataset" for split in ("train", "validation", "test", "infer")),
)


@dataclass(frozen=True)
class TrainingSettings:
    """What the plan decides about one training; the rest is the user's spec."""

    epochs: int
    batch_size: int
    seed: int
    num_gpus: int
    precision: str | None = None
    threads: int | None = None

    @classmethod
    def from_plan(cls, plan: Mapping[str, Any]) -> TrainingSettings:
        """Return what a plan decided about trainings."""
        agreed = {name: plan["settings"][name]["value"] for name in plan["settings"]}
        return cls(
            epochs=agreed["num_epochs"],
            batch_size=agreed["batch_size"],
            seed=agreed["seed"],
            num_gpus=agreed["num_gpus"],
            precision=agreed["precision"],
            threads=agreed["threads"],
        )


def read_baseline_spec(workspace: Workspace) -> Spec:
    """Read `specs/baseline_spec.yaml`; a spec of another task or without a data block is refused."""
    spec = read_yaml(workspace.baseline_spec)
    if not isinstance(spec, dict) or not isinstance(spec.get("dataset"), dict):
        raise InputRefused("spec has no `dataset` block", value=workspace.baseline_spec)
    if spec.get("task") != "classify":
        raise InputRefused("spec must say `task: classify`", value=spec.get("task"))
    if not isinstance(spec["dataset"].get("classify"), dict):
        raise InputRefused("spec has no `dataset.classify` block", value=workspace.baseline_spec)
    for path in BLOCKS:
        _require_block(spec, path, workspace.baseline_spec)
    return spec


def _require_block(spec: Spec, path: str, origin: Path) -> None:
    """Refuse a block that is there but is no mapping."""
    block: Any = spec
    for name in path.split("."):
        block = (block or {}).get(name)
    if block is not None and not isinstance(block, dict):
        raise InputRefused(f"spec's `{path}` is no block of keys ({str(block)[:40]!r})", value=origin)


def require_no_whole_weights(spec: Spec, workspace: Workspace) -> None:
    """Refuse a spec that names a trained network to begin from: a run takes that from its plan alone."""
    for key in WHOLE_WEIGHTS:
        section, _, name = key.partition(".")
        named = (spec.get(section) or {}).get(name)
        if named:
            where, path = shlex.quote(str(workspace.root)), shlex.quote(str(named))
            raise InputRefused(
                f"spec names `{key}`, and a run would train its baseline without it",
                value=named,
                hint=f"deft preflight {where} --baseline-checkpoint {path}; else remove the key",
            )


def is_embedded_engine(spec: Mapping[str, Any]) -> bool:
    """Say whether the spec asks for the embedded engine's own network."""
    backbone = (spec.get("model") or {}).get("backbone") or {}
    return str(backbone.get("type", "")).startswith("deft_")


def images_folder(spec: Spec, split: str, workspace: Workspace) -> Path:
    """Return a split's image root: the spec's where it exists, else the workspace's images.

    In a workspace that was copied since its spec was written, an image root of the old one is its own.
    """
    block = spec["dataset"]["classify"].get(f"{split}_dataset") or {}
    named = block.get("images_dir")
    if not named:
        return workspace.images
    places = (_in_the_copy(block, split, workspace), workspace.root / named)
    return next((place.resolve() for place in places if place and place.is_dir()), workspace.images)


def _in_the_copy(block: Mapping[str, Any], split: str, workspace: Workspace) -> Path | None:
    """Return where an image root lies if the block names the table of this workspace at an older place."""
    table = _tables(workspace)[split].relative_to(workspace.root)
    recorded, images = Path(str(block.get("csv_path"))), Path(str(block["images_dir"]))
    older = recorded.parents[len(table.parts) - 1] if len(recorded.parts) > len(table.parts) else None
    if older is None or recorded != older / table or not images.is_relative_to(older):
        return None
    return workspace.root / images.relative_to(older)


def _tables(workspace: Workspace) -> dict[str, Path]:
    return {
        "train": workspace.training_table,
        "validation": workspace.validation_table,
        "test": workspace.kpi_table,
        "infer": workspace.kpi_table,
    }


def data_roots(workspace: Workspace) -> Roots:
    """Return the folders in which a workspace's data lies: its own and the image roots of its spec."""
    spec = read_baseline_spec(workspace)
    named = (images_folder(spec, split, workspace) for split in ("train", "validation", "test", "infer"))
    own = Roots.of_workspace(workspace).folders
    return Roots(tuple(dict.fromkeys((*own, *map(os.path.realpath, named)))))


def training_spec(
    baseline: Spec,
    workspace: Workspace,
    settings: TrainingSettings,
    *,
    combined_table: Path | None = None,
    warm_start: Path | None = None,
) -> Spec:
    """Derive the spec of one training.

    The baseline trains on the user's table under the user's image root; an iteration trains on its
    combined table under the workspace root. Validation, test and inference keep their own roots.
    """
    spec = copy.deepcopy(baseline)
    _set_tables(spec, workspace, combined_table)
    train = spec.setdefault("train", {})
    train.pop("resume_training_checkpoint_path", None)
    train.pop("pretrained_model_path", None)
    train.update(num_epochs=settings.epochs, seed=settings.seed, num_gpus=settings.num_gpus)
    for key in ("checkpoint_interval", "validation_interval"):
        train[key] = min(_whole(train.get(key) or 1, f"train.{key}"), settings.epochs)
    spec["dataset"]["classify"]["batch_size"] = settings.batch_size
    _set_engine(spec, settings)
    if warm_start is not None:
        train["pretrained_model_path"] = str(warm_start)
    for key in ("results_dir", *CHECKPOINTED_ACTIONS):
        spec.pop(key, None)
    return spec


def _whole(value: Any, key: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise InputRefused(f"spec's `{key}` is no whole number", value=str(value)[:40]) from None


def _set_engine(spec: Spec, settings: TrainingSettings) -> None:
    train = spec["train"]
    if settings.precision:
        train["precision"] = settings.precision
    if settings.threads and is_embedded_engine(spec):
        train.setdefault("embedded", {})["threads"] = settings.threads


def _set_tables(spec: Spec, workspace: Workspace, combined_table: Path | None) -> None:
    classify = spec["dataset"]["classify"]
    roots = {split: images_folder(spec, split, workspace) for split in _tables(workspace)}
    tables = _tables(workspace)
    if combined_table:
        tables["train"], roots["train"] = combined_table, workspace.root
    for split, table in tables.items():
        classify[f"{split}_dataset"] = {"csv_path": str(table), "images_dir": str(roots[split])}


def inference_spec(training: Spec, *, batch_size: int) -> Spec:
    """Derive the spec of inference and evaluation from the spec that trained the model."""
    spec = copy.deepcopy(training)
    classify = spec["dataset"]["classify"]
    classify["batch_size"] = batch_size
    classify["augmentation_config"] = {**(classify.get("augmentation_config") or {}), "augment": False}
    train = spec.get("train") or {}
    spec["train"] = {name: train[name] for name in SCORING_KEYS if train.get(name)}
    return spec


def prove_spec(spec: Spec) -> None:
    """Resolve the first and the last row of every table of a spec under its own image root."""
    classify = spec["dataset"]["classify"]
    layout = ImageLayout.from_spec(spec)
    for split in ("train", "validation", "test", "infer"):
        block = classify[f"{split}_dataset"]
        table = read_table(Path(block["csv_path"]))
        resolve_images(table.iloc[[0, -1]], Path(block["images_dir"]), layout)
