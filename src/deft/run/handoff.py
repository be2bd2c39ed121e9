"""Hand the incumbent over to production: what it is, its threshold, and a spec that really runs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deft import files
from deft.errors import InputRefused, StateConflict, UsageError
from deft.metrics.kpi import defect_flags
from deft.metrics.operating_points import sweep
from deft.metrics.target import parse_target
from deft.run.evaluation import read_scores
from deft.workspace.layout import RunFolder
from deft.workspace.rows import PASS
from deft.workspace.training_spec import SCORING_KEYS

QUANTILES = np.linspace(0.0, 1.0, 101)
Record = dict[str, Any]


def write_handoff(run: RunFolder, state: Record, folder: Path) -> Record:
    """Write `best_model.json` and `best_model_inference_spec.yaml` into `folder`; return the first.

    The incumbent is what the state says; a checkpoint that is gone, or a figure that is no number, is
    refused instead of handed over.
    """
    record, spec = handoff_records(state, Path)
    files.write_yaml(folder / run.inference_spec.name, spec)
    files.write_json(folder / run.best_model.name, record)
    return record


def handoff_records(state: Record, found: Callable[[str], Path]) -> tuple[Record, Record]:
    """Return the content of both files; `found` says where a recorded path is now.

    Raises StateConflict without an evaluated incumbent, InputRefused where its checkpoint is gone.
    """
    best = state["iterations"].get(state.get("incumbent") or "", {})
    if not best.get("kpi"):
        raise StateConflict(
            "run has no evaluated model to hand over", value=state["results_dir"], hint="deft run"
        )
    if not found(best["best_ckpt_path"]).is_file():
        raise InputRefused("checkpoint of the best model is gone", value=best["best_ckpt_path"])
    training = files.read_yaml(found(best["training_spec"]))
    point = operating_record(best, state["kpi_target"], found(best["inference_csv"]))
    spec = runnable_spec(training, Path(best["best_ckpt_path"]), point["threshold"])
    return _best_model(state, best, str(spec["model"]["backbone"].get("type", "")), found) | point, spec


def operating_record(best: Record, target: str, scores: Path) -> Record:
    """Return the threshold at which the model is to work and its FAR: no missed defect, unless the target
    itself is measured at another recall; then both points, for a model must do what its target was met by.
    """
    full = {"threshold": best["threshold"], "far_pct": best["far_pct"]}
    try:
        wanted = parse_target(target)
    except UsageError:  # a state that was logged by hand may hold any text
        return full
    table = read_scores(scores)
    point = wanted.point(sweep(table["siamese_score"], defect_flags(table["label"])))
    if point is None or point.recall == 1.0:
        return full
    return {
        "threshold": point.threshold,
        "far_pct": 100 * point.far,
        "recall_pct": 100 * point.recall,
        "at_full_recall": full,
    }


def _best_model(state: Record, best: Record, backbone: str, found: Callable[[str], Path]) -> Record:
    """Return the original's fields first, then what makes the hand-over checkable."""
    return {
        "checkpoint": best["best_ckpt_path"],
        "threshold": best["threshold"],
        "far_pct": best["far_pct"],
        "iteration": state["incumbent"],
        "backbone": backbone,
        "images_dir": state["config"]["images_dir"],
        "training_spec": best["training_spec"],
        "checkpoint_sha256": files.sha256_of_file(found(best["best_ckpt_path"])),
        "validation_threshold": best["kpi"]["validation_calibrated"]["threshold"],
        "pass_score_quantiles": pass_score_quantiles(found(best["inference_csv"])),
        "kpi_target": state["kpi_target"],
    }


def pass_score_quantiles(scores: Path) -> list[float]:
    """Return 101 quantiles of the KPI set's PASS scores: what production compares its own scores with."""
    table = pd.read_csv(scores, usecols=["label", "siamese_score"])
    passing = table.loc[table["label"] == PASS, "siamese_score"]
    return [float(value) for value in np.quantile(passing, QUANTILES)]


def runnable_spec(training: Record, checkpoint: Path, threshold: float) -> Record:
    """Return an inference spec of the model: only the images and the results folder are left open."""
    spec = copy.deepcopy(training)
    classify = spec["dataset"]["classify"]
    for split in ("train_dataset", "validation_dataset", "test_dataset"):
        classify.pop(split, None)
    classify.update(batch_size=1, workers=1, infer_dataset={"csv_path": "", "images_dir": ""})
    classify["augmentation_config"] = {**(classify.get("augmentation_config") or {}), "augment": False}
    spec["model"].setdefault("classify", {})["eval_margin"] = float(threshold)
    train = spec.get("train") or {}
    spec["train"] = {name: train[name] for name in SCORING_KEYS if train.get(name)}
    return {
        **{name: value for name, value in spec.items() if name not in ("evaluate", "inference")},
        "results_dir": "",
        "inference": {"checkpoint": str(checkpoint), "batch_size": 1, "results_dir": ""},
    }
