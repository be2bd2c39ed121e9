"""Print the Pre-Flight Summary: what a person reads before saying yes (seed 001's tables)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from deft.metrics.target import Target
from deft.platforms.base import Check
from deft.preflight.inspect import Inspection
from deft.preflight.settings import DERIVED, SPEC
from deft.run.evaluation import PROMOTED_BY
from deft.untrusted import untrusted, visible
from deft.workspace.image_digests import SPLITS
from deft.workspace.training_spec import images_folder

TITLES = {
    "num_epochs": "training epochs",
    "knn_metric": "nearest-neighbour metric",
    "filter_by_label": "label filter",
    "min_similarity": "similarity cut (cosine)",
    "synthetic_share": "synthetic rows at most",
    "encoder": "mining encoder",
    "mining": "mining arm",
}
SPLIT_BLOCKS = tuple(dict.fromkeys(block for _, block in SPLITS.values()))


def summary(plan: dict[str, Any], inspection: Inspection, checks: Sequence[Check]) -> str:
    """Return the summary as Markdown that reads well in a terminal too."""
    parts = [
        f"# Pre-Flight Summary: {plan['run_id']}",
        "## Run config",
        _table(("setting", "value", "source"), _config_rows(plan, inspection)),
        "## Dataset",
        _table(("set", "PASS", "defects"), _dataset_rows(inspection)),
        "## Augmentation",
        _table(("source", "rows"), _augmentation_rows(inspection)),
        "## Platform",
        _table(("check", "", "found"), _check_rows(plan, checks)),
        *_notes(plan, inspection, checks),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = [[visible(str(cell)).replace("|", "¦") for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _config_rows(plan: dict[str, Any], inspection: Inspection) -> Iterable[Sequence[object]]:
    target = plan["target"]
    yield "workspace", plan["workspace"], "user"
    yield "KPI target", Target.from_record(target).normal_form(), target["source"]
    yield "promoted if better by", ", then ".join(PROMOTED_BY[name] for name in plan["promotion"]), "default"
    yield "platform", plan["platform"], "user" if plan["platform"] != "embedded" else "default"
    if plan["baseline"]:
        yield "baseline", plan["baseline"]["checkpoint"], "user"
    for name, setting in plan["settings"].items():
        if name != "images_dir" and setting["value"] != "":
            title = TITLES.get(name, name.replace("_", " "))
            yield title, _shown(setting["value"]), setting["source"]
    yield _image_roots(inspection)
    yield from _model_rows(plan, inspection)


def _image_roots(inspection: Inspection) -> tuple[str, str, str]:
    """Return the folders that are read, and whether the spec names them or the workspace's stand in."""
    classify, root = inspection.spec["dataset"]["classify"], inspection.workspace.root
    named = [(classify.get(f"{block}_dataset") or {}).get("images_dir") for block in SPLIT_BLOCKS]
    found = [images_folder(inspection.spec, block, inspection.workspace) for block in SPLIT_BLOCKS]
    as_named = all(
        name and (root / name).resolve() == place for name, place in zip(named, found, strict=True)
    )
    return "image roots", ", ".join(dict.fromkeys(map(str, found))), SPEC if as_named else DERIVED


def _model_rows(plan: dict[str, Any], inspection: Inspection) -> Iterable[tuple[str, str, str]]:
    """Return one row a folder of files that the approval is bound to besides the tables."""
    folders: dict[str, list[str]] = {}
    for name, digest in plan["inputs"].items():
        if digest is not None and name not in inspection.inputs:
            folder, _, file = name.rpartition("/")
            folders.setdefault(folder, []).append(f"{file} ({digest[:12]})")
    for folder, found in folders.items():
        yield "model files", f"{folder}: {', '.join(found)}", DERIVED


def _shown(value: object) -> str:
    if value is None:
        return "off"
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _dataset_rows(inspection: Inspection) -> Iterable[Sequence[object]]:
    for split in inspection.tables:
        yield split, *inspection.rows(split)


def _augmentation_rows(inspection: Inspection) -> Iterable[Sequence[object]]:
    labels = inspection.pool["label"].value_counts()
    for label, count in labels.items():
        yield f"mining pool, {untrusted(label)}", count
    yield "pre-generated NG/OK pairs", inspection.pairs


def _check_rows(plan: dict[str, Any], checks: Sequence[Check]) -> Iterable[Sequence[object]]:
    for check in checks:
        yield check.name, "ok" if check.passed else "MISSING", untrusted(check.detail)
    for name, version in plan["versions"].items():
        yield name, "ok", version


def _notes(plan: dict[str, Any], inspection: Inspection, checks: Sequence[Check]) -> Iterable[str]:
    notes = [*plan["advice"], *inspection.leakage.sentences()]
    if "holdout" not in inspection.tables:
        notes.append("No held-out set: the KPI set is used adaptively, so its figures are optimistic.")
    if notes:
        yield "## Know before you say yes\n\n" + "\n".join(f"- {untrusted(note)}" for note in notes)
    cures = [f"- {check.name}: {check.cure}" for check in checks if not check.passed]
    if cures:
        yield "## Mend first\n\n" + "\n".join(cures)
    yield _costs(plan["estimate"])


def _costs(cost: dict[str, Any]) -> str:
    kept = f"{cost['checkpoints']:,} checkpoints"
    if "disk_bytes" not in cost:
        return f"Cost on disk: {kept} of a backbone whose size is not known here. Time is not estimated."
    return f"Cost: about {_size(cost['disk_bytes'])} on disk, {kept}. Time is not estimated."


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"
