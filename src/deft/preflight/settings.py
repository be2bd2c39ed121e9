"""Settle every parameter of a run: the user's word, else the spec's, else the default, with its source."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deft.errors import UsageError

USER, SPEC, DEFAULT, DERIVED = "user", "spec", "default", "derived"
DEFAULT_TARGET = "FAR < 0.1% at recall = 100%"
DEFAULT_EPOCHS = 20
DEFAULT_BATCH_SIZE = 16
ENCODER_PATHS = {
    "SigLIP": "google/siglip-base-patch16-224",
    "CLIP": "openai/clip-vit-base-patch32",
    "deft_pair": "",
}
MINING_ARMS = ("targets", "random", "none")
LABEL_FILTERS = ("class", "label", "none")
METRICS = ("cosine", "euclidean", "manhattan")
# A generator of random numbers takes no negative seed; the engine takes 0 threads as all cores.
BOUNDS = {"seed": (0, 2**63 - 1), "threads": (0, 1024)}
Settings = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Facts:
    """What the workspace and the machine say before anybody chooses."""

    spec: Mapping[str, Any]
    smallest_scored_split: int
    training_rows: int
    default_encoder: str
    gpus: int
    precision: str | None
    precisions: tuple[str, ...] = ()  # those the engine trains in; none where only a container knows


def settle(given: Mapping[str, Any], facts: Facts) -> Settings:
    """Return every setting as `{name: {value, source}}`; a value out of range is refused by name."""
    encoder = given.get("encoder") or facts.default_encoder
    settings = {**_training(given, facts), **_loop(given), **_mining(given, encoder)}
    unknown = sorted(set(given) - set(settings))
    if unknown:
        raise UsageError("unknown setting", value=", ".join(unknown))
    _require_sensible(settings)
    _require_bounded(settings)
    _require_known_precision(settings["precision"], facts.precisions)
    return settings


def _choose(given: Mapping[str, Any], name: str, spec: Any, default: Any) -> dict[str, Any]:
    if given.get(name) is not None:
        return {"value": given[name], "source": USER}
    if spec is not None:
        return {"value": spec, "source": SPEC}
    return {"value": default, "source": DEFAULT}


def _training(given: Mapping[str, Any], facts: Facts) -> Settings:
    train = facts.spec.get("train") or {}
    classify = facts.spec["dataset"]["classify"]
    batch = _whole(given, "batch_size", classify.get("batch_size"), DEFAULT_BATCH_SIZE)
    embedded = train.get("embedded") or {}
    return {
        "num_epochs": _whole(given, "num_epochs", train.get("num_epochs"), DEFAULT_EPOCHS),
        "batch_size": _at_most(batch, min(facts.training_rows, facts.smallest_scored_split)),
        "inference_batch_size": _at_most(batch, facts.smallest_scored_split),
        "seed": _whole(given, "seed", train.get("seed"), 1234),
        "num_gpus": _at_most(_whole(given, "num_gpus", train.get("num_gpus"), 1), facts.gpus),
        "precision": _probed(given, "precision", train.get("precision"), facts.precision),
        "threads": _probed(given, "threads", embedded.get("threads") or None, os.cpu_count()),
    }


def _whole(given: Mapping[str, Any], name: str, spec: Any, default: int) -> dict[str, Any]:
    chosen = _choose(given, name, spec, default)
    if not isinstance(chosen["value"], int) or isinstance(chosen["value"], bool):
        raise UsageError(f"{name} must be a whole number (source: {chosen['source']})", value=chosen["value"])
    return chosen


def _at_most(setting: dict[str, Any], limit: int) -> dict[str, Any]:
    """Lower a value to a limit and say that it was derived: the tool refuses what exceeds it."""
    if setting["value"] <= limit:
        return setting
    return {"value": limit, "source": DERIVED}


def _probed(given: Mapping[str, Any], name: str, spec: Any, measured: Any) -> dict[str, Any]:
    chosen = _choose(given, name, spec, None)
    return chosen if chosen["value"] is not None else {"value": measured, "source": DERIVED}


def _loop(given: Mapping[str, Any]) -> Settings:
    return {
        "max_iterations": _choose(given, "max_iterations", None, 3),
        "spot_check": _choose(given, "spot_check", None, True),
        "automl_policy": {"value": "off", "source": DEFAULT},
    }


def _mining(given: Mapping[str, Any], encoder: str) -> Settings:
    if encoder not in ENCODER_PATHS:
        raise UsageError("unknown encoder", value=encoder, hint=", ".join(ENCODER_PATHS))
    # Measured defaults of the pair encoder: research on label-aware mining of few, relevant rows.
    pair = encoder == "deft_pair"
    return {
        "mining": _choose(given, "mining", None, "targets"),
        "top_k_per_label": _choose(given, "top_k_per_label", None, 100 if pair else 50),
        "top_k_per_target": _choose(given, "top_k_per_target", None, 5),
        "targets_pass": _choose(given, "targets_pass", None, 100 if pair else None),
        "targets_defect": _choose(given, "targets_defect", None, 60 if pair else None),
        "knn_metric": _choose(given, "knn_metric", None, "cosine"),
        "filter_by_label": _choose(given, "filter_by_label", None, "class" if pair else "none"),
        "min_similarity": _similarity(given, None if pair else 0.9),
        "synthetic_share": _choose(given, "synthetic_share", None, 0.3 if pair else None),
        "encoder": _choose(given, "encoder", None, encoder),
        "encoder_path": _choose(given, "encoder_path", None, ENCODER_PATHS[encoder]),
    }


def _similarity(given: Mapping[str, Any], default: float | None) -> dict[str, Any]:
    """Read a cosine (`0.9`), a percentile of the pool's own similarity (`p25`), or `none`."""
    text = given.get("min_similarity")
    if text is None:
        return {"value": default, "source": DEFAULT}
    if str(text).lower() in ("none", "null", "off"):
        return {"value": None, "source": USER}
    number = str(text).removeprefix("p")
    try:
        value = float(number)
    except ValueError:
        value = -2.0
    percentile = str(text).startswith("p")
    if not (0 <= value <= 100 if percentile else -1 <= value <= 1):
        raise UsageError("min_similarity is no cosine and no percentile", value=text, hint="0.9, p25 or none")
    return {"value": f"p{value:g}" if percentile else value, "source": USER}


def _require_sensible(settings: Settings) -> None:
    at_least_one = ("max_iterations", "num_epochs", "top_k_per_target", "top_k_per_label")
    for name in at_least_one:
        value = settings[name]["value"]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UsageError(f"{name} must be a whole number of at least 1", value=value)
    if settings["batch_size"]["value"] < 2:
        raise UsageError("batch_size must be at least 2", value=settings["batch_size"]["value"])
    for name, known in (("mining", MINING_ARMS), ("filter_by_label", LABEL_FILTERS), ("knn_metric", METRICS)):
        if settings[name]["value"] not in known:
            raise UsageError(f"unknown {name}", value=settings[name]["value"], hint=", ".join(known))
    share = settings["synthetic_share"]["value"]
    if share is not None and not 0 <= share <= 1:
        raise UsageError("synthetic_share must lie between 0 and 1", value=share)
    if settings["min_similarity"]["value"] is not None and settings["knn_metric"]["value"] != "cosine":
        raise UsageError(
            "min_similarity is a cosine and needs knn_metric cosine", value=settings["knn_metric"]["value"]
        )


def _require_bounded(settings: Settings) -> None:
    for name, (least, most) in BOUNDS.items():
        value, source = settings[name]["value"], settings[name]["source"]
        whole = isinstance(value, int) and not isinstance(value, bool)
        if source != DERIVED and not (whole and least <= value <= most):
            raise UsageError(
                f"{name} must be a whole number from {least} to {most} (source: {source})",
                value=value,
                hint=f"deft preflight --{name} NUMBER has the last word",
            )


def _require_known_precision(setting: Mapping[str, Any], known: tuple[str, ...]) -> None:
    if known and setting["value"] is not None and setting["value"] not in known:
        raise UsageError(
            f"unknown precision (source: {setting['source']})",
            value=setting["value"],
            hint=f"deft preflight --precision {' or '.join(known)}",
        )
