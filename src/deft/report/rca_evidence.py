"""What is known of one gap analysis: its artifacts, the figures beside its inference, the facts of both."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from deft import files
from deft.run.by_hand import guarding_run
from deft.run.log import read
from deft.run.places import Places
from deft.run.spot_check import ANSWERS, SAMPLES, VERDICTS, rca_folder
from deft.run.state import read_plan
from deft.stages.rca import SPEC
from deft.workspace.components import join_gaps, kpi_components
from deft.workspace.layout import RunFolder
from deft.workspace.rows import PASS, read_table

GAPS, METRICS, UNREACHABLE = "kpi_gaps.parquet", "metrics.json", "unreachable_kpi.txt"
POINTS = {
    "far_at_100": Markup("100 % recall"),
    "far_at_99_5": Markup("99.5 % recall"),
    "far_at_99": Markup("99 % recall"),
    "best_f1": Markup("best F1"),
}
Record = dict[str, Any]


# --- which folder -----------------------------------------------------------------------------


def is_analysis(folder: Path) -> bool:
    """Say whether a folder holds the artifacts of a gap analysis."""
    return (folder / GAPS).is_file() or (folder / UNREACHABLE).is_file()


def last_analysis(run: RunFolder) -> Path | None:
    """Return the last completed analysis of a run, or the failed attempt that no threshold satisfied."""
    entries = read(run.log)
    failed = [folder for folder in run.root.glob("*/rca_results/*.attempt-*") if is_analysis(folder)]
    if failed and entries[-1]["stage"] == "rca" and entries[-1]["status"] == "error":
        return max(failed, key=lambda folder: folder.stat().st_mtime)
    return rca_folder(run, entries)


def newest_analysis(place: Path) -> Path | None:
    """Return a folder that is an analysis, or the newest one in its `rca_results/`."""
    if is_analysis(place):
        return place
    found = [folder for folder in sorted((place / "rca_results").glob("*")) if is_analysis(folder)]
    return found[-1] if found else None


# --- what is known ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Analysis:
    """The artifacts of one analysis: `weak` holds one row a component, weakest first."""

    folder: Path
    run: RunFolder | None
    spec: Record
    metrics: Record
    weak: pd.DataFrame
    kpi: Record
    samples: list[Record]
    looked: bool | None

    @classmethod
    def of(cls, folder: Path) -> Analysis:
        """Read an analysis, and the figures that stand beside its inference where there are any."""
        run = guarding_run(folder)
        spec = spec_of(folder)
        kpi = Path(str(spec.get("inference_results_dir", ""))) / "kpi.json"
        weak = _components(folder, run).sort_values("weakness", ascending=False, kind="stable")
        samples, looked = _spot_check(folder)
        metrics = files.read_json(folder / METRICS)
        figures = files.read_json(kpi) if kpi.is_file() else {}
        return cls(folder, run, spec, metrics, weak, figures, samples, looked)

    @property
    def is_pass(self) -> pd.Series:
        return self.weak["label"] == PASS

    @property
    def verdicts(self) -> Counter[str]:
        return Counter(str(sample["verdict"]) for sample in self.samples if sample.get("verdict"))


def spec_of(folder: Path) -> Record:
    """Return the spec of the analysis; empty where it was not kept."""
    path = folder / SPEC
    return dict(files.read_yaml(path)) if path.is_file() else {}


def _components(folder: Path, run: RunFolder | None) -> pd.DataFrame:
    """Return the weak components with their ids; without a table to join, an image stands for itself."""
    joined = folder / "weak_components.parquet"
    if joined.is_file():
        return files.read_parquet(joined)
    gaps = files.read_parquet(folder / GAPS, required=("filepath", "label", "siamese_score", "weakness"))
    if run is not None:
        places = Places.of(run, read_plan(run))
        here = [str(places.existing(path)) for path in gaps["filepath"]]
        return join_gaps(gaps.assign(filepath=here), kpi_components(run.workspace))
    return gaps.assign(component_id=["/".join(Path(str(path)).parts[-3:]) for path in gaps["filepath"]])


def _spot_check(folder: Path) -> tuple[list[Record], bool | None]:
    """Return the samples, and whether somebody looked: None while they wait."""
    if (folder / ANSWERS).is_file():
        record = files.read_json(folder / ANSWERS)
        return list(record["samples"]), bool(record["looked"])
    waiting = folder / SAMPLES
    return (list(files.read_json(waiting)["samples"]) if waiting.is_file() else []), None


# --- the figures -----------------------------------------------------------------------------


def facts_of(analysis: Analysis) -> Record:
    """Return every figure that a report on the analysis may name; None where it is unknown."""
    facts: Record = {
        "recall_floor": float(analysis.spec.get("min_recall", 1.0)),
        **_operating_point(analysis.metrics),
        **_side_facts("pass", analysis.weak[analysis.is_pass]),
        **_side_facts("defect", analysis.weak[~analysis.is_pass]),
        "weak_kept": len(analysis.weak),
        "samples": len(analysis.samples),
        **{f"verdict.{name}": analysis.verdicts[name] for name in VERDICTS},
        **_kpi_facts(analysis.kpi),
    }
    for row in per_label(analysis):
        facts |= {f"label.{row['label']}.{name}": value for name, value in row.items() if name != "label"}
    for sample in analysis.samples:
        named = {"score": sample["siamese_score"], "weakness": sample["weakness"]}
        facts |= {f"sample.{sample['number']}.{name}": value for name, value in named.items()}
    return facts


def _operating_point(metrics: Record) -> Record:
    cells = metrics["confusion_matrix"]
    passing, defects = cells["fp"] + cells["tn"], cells["tp"] + cells["fn"]
    ratios = {name: metrics[name] for name in ("threshold", "recall", "precision", "f1")}
    counts = {"false_alarms": cells["fp"], "missed": cells["fn"]}
    rows = {"rows": passing + defects, "pass_rows": passing, "defect_rows": defects}
    return {**ratios, **counts, **rows, "far": cells["fp"] / passing if passing else None}


def _side_facts(name: str, rows: pd.DataFrame) -> Record:
    weakness = rows["weakness"]
    wrong = weakness[weakness > 0]
    quantiles = {"max": 1.0, "p90": 0.9, "median": 0.5, "min": 0.0}
    return {
        f"{name}_kept": len(rows),
        f"{name}_wrong": len(wrong),
        f"{name}_marginal": len(rows) - len(wrong),
        f"{name}_wrong_median": float(wrong.median()) if len(wrong) else None,
        **{f"{name}_{k}": float(weakness.quantile(q)) if len(rows) else None for k, q in quantiles.items()},
    }


def _kpi_facts(kpi: Record) -> Record:
    facts: Record = {}
    for name in POINTS:
        point = kpi.get(name) or {}
        facts |= {f"{name}.{key}": point.get(key) for key in ("threshold", "far", "recall")}
        facts |= {f"{name}.{key}": point.get(key) for key in ("false_alarms", "missed")}
    calibrated = kpi.get("validation_calibrated") or {}
    reached = calibrated.get("kpi") or {}
    facts |= {f"calibrated.{key}": reached.get(key) for key in ("far", "recall", "false_alarms", "missed")}
    facts |= {
        "calibrated.threshold": calibrated.get("threshold"),
        "far_bound": (kpi.get("far_bound") or {}).get("bound"),
        "missed_bound": (kpi.get("missed_bound") or {}).get("bound"),
        "auroc": kpi.get("auroc"),
        "mean_far_98_100": kpi.get("mean_far_98_100"),
    }
    deciding = (kpi.get("far_at_100") or {}).get("deciding_defect") or {}
    names = {"component_id": "component", "score": "score", "label": "label"}
    return facts | {f"deciding.{shown}": deciding.get(name) for name, shown in names.items()}


def per_label(analysis: Analysis) -> list[Record]:
    """Return one record a label, PASS first; labels are spelled as tables spell them."""
    kept = Counter(str(label) for label in analysis.weak["label"])
    pool = _pool_labels(analysis.run)
    records = []
    for name, row in analysis.metrics["per_label"].items():
        label = PASS if name == PASS else str(name).lower()
        figures = {key: row[f"{key}_weakness"] for key in ("mean", "median", "max")}
        share = row["n_misclassified"] / row["total"] if row["total"] else None
        counts = {"rows": row["total"], "wrong": row["n_misclassified"], "kept": kept[label]}
        records.append(
            {"label": label, **counts, "share": share, **figures, "pool": pool[label] if pool else None}
        )
    return sorted(records, key=lambda record: (record["label"] != PASS, record["label"]))


def _pool_labels(run: RunFolder | None) -> Counter[str] | None:
    if run is None or not run.workspace.mining_pool_table.is_file():
        return None
    return Counter(str(label) for label in read_table(run.workspace.mining_pool_table)["label"])
