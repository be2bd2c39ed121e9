"""`RCA_Report.md`: seven sections filled from the artifacts of one gap analysis; two wait for prose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from deft import files
from deft.errors import InputRefused
from deft.metrics.target import Target, sample_size_advice
from deft.report.facts_record import Report
from deft.report.markdown import rendered
from deft.report.rca_evidence import (
    GAPS,
    METRICS,
    POINTS,
    UNREACHABLE,
    Analysis,
    facts_of,
    is_analysis,
    per_label,
    spec_of,
)
from deft.run.by_hand import guarding_run
from deft.run.spot_check import ANSWERS, SAMPLES, VERDICTS
from deft.workspace.layout import RunFolder
from deft.workspace.rows import PASS

NAME = "RCA_Report.md"
SECTIONS = (
    "Verdict",
    "Threshold Selection",
    "Weakness Distribution",
    "Top-K Weakest Samples",
    "Visual Spot Check",
    "Per-Label Breakdown",
    "Recommended Actions",
)
UNREACHABLE_SECTIONS = ("Verdict", "Threshold Selection", "Unreachable KPI", "Recommended Actions")
ASKS = {
    "verdict": "60 to 150 words: can the model reach the target, what stands in the way, "
    "and is it the model, the labels or the pictures?",
    "recommended-actions": "60 to 200 words: three to five actions, the most useful first, "
    "each tied to a figure and a label or component; and what would be wasted effort",
}
UNREACHABLE_ASKS = {
    "verdict": "40 to 100 words: the recall that is reached, and whether scores or labels are at fault",
    "recommended-actions": "one recommendation, to retrain or to relabel, with its reason",
}
SHOWN_A_SIDE = 10
PICTURE = re.compile(r"rca_images/[A-Za-z0-9][A-Za-z0-9._-]*\.(?:png|jpg)")
Record = dict[str, Any]


def rca_report(folder: Path) -> Report:
    """Return the report on a gap analysis, of a loop or alone; the short variant where no threshold serves.

    Raises InputRefused for a folder without an analysis.
    """
    if not is_analysis(folder):
        raise InputRefused("folder holds no gap analysis", value=folder, hint="deft analyze-gaps --help")
    if (folder / UNREACHABLE).is_file():
        return _unreachable(folder)
    return _complete(Analysis.of(folder))


# --- the report ------------------------------------------------------------------------------


def _complete(analysis: Analysis) -> Report:
    facts, labels = facts_of(analysis), per_label(analysis)
    signals = _signals(analysis, facts, labels)
    text = rendered(
        "rca_report.md",
        facts=facts,
        origin=_origin(analysis.folder, analysis.spec, analysis.run),
        points=_points(analysis.kpi, facts),
        advice=_advice(analysis.run, facts),
        weakest=list(_weakest(analysis)),
        samples=[_sample(sample, analysis.folder) for sample in analysis.samples],
        looked=analysis.looked,
        labels=labels,
        signals=[{"signal": Markup(s), "count": n, "action": Markup(ACTIONS[s])} for s, n in signals.items()],
    )
    artifacts = [GAPS, METRICS, "threshold.txt", "weak_samples_breakdown.txt"]
    if analysis.samples:
        artifacts.append(ANSWERS if analysis.looked is not None else SAMPLES)
        artifacts += [
            str(sample["image"]) for sample in analysis.samples if _picture(sample, analysis.folder)
        ]
    artifacts = [name for name in artifacts if (analysis.folder / name).is_file()]
    names = [row["label"] for row in labels]
    return Report(NAME, text, facts, SECTIONS, names, artifacts, ASKS, signals)


def _origin(folder: Path, spec: Mapping[str, Any], run: RunFolder | None) -> Record:
    """Say what was analysed, with paths relative to the run or the experiment."""
    root = run.root if run is not None else folder.parent.parent
    inference = Path(str(spec.get("inference_results_dir", "")))
    shown = inference.relative_to(root) if inference.is_relative_to(root) else inference
    return {"name": root.name, "folder": folder.relative_to(root).as_posix(), "inference": shown.as_posix()}


def _points(kpi: Record, facts: Record) -> list[Record]:
    """Return the operating points that stand beside the chosen one."""
    names = [*POINTS.items(), ("calibrated", Markup("calibrated on validation"))]
    keys = ("threshold", "far", "recall", "false_alarms", "missed")
    rows = [{"name": shown, **{key: facts[f"{name}.{key}"] for key in keys}} for name, shown in names]
    return [row for row in rows if row["far"] is not None] if kpi else []


def _advice(run: RunFolder | None, facts: Record) -> list[Markup]:
    if run is None:
        return []
    target = Target.from_record(files.read_json(run.plan)["target"])
    sentences = sample_size_advice(target, facts["pass_rows"], facts["defect_rows"])
    return [Markup(sentence) for sentence in sentences]


def _weakest(analysis: Analysis) -> Iterator[Record]:
    for mask in (analysis.is_pass, ~analysis.is_pass):
        rows = analysis.weak[mask].head(SHOWN_A_SIDE).to_dict("records")
        for rank, row in enumerate(rows, start=1):
            keys = ("component_id", "label", "siamese_score", "weakness")
            yield {"rank": rank, "wrong": row["weakness"] > 0, **{str(key): row[key] for key in keys}}


def _sample(sample: Record, folder: Path) -> Record:
    keys = ("number", "component_id", "label", "siamese_score", "weakness")
    shown = {key: sample[key] for key in keys}
    return {**shown, "verdict": sample.get("verdict"), "picture": _picture(sample, folder)}


def _picture(sample: Record, folder: Path) -> Markup | None:
    """Return the relative link of a sample's picture if it is one that this program names and wrote."""
    name = str(sample.get("image", ""))
    return Markup(name) if PICTURE.fullmatch(name) and (folder / name).is_file() else None


def _signals(analysis: Analysis, facts: Record, labels: list[Record]) -> dict[str, int]:
    """Return what the figures call for, with how often."""
    uncovered = sum(row["pool"] == 0 for row in labels if row["label"] != PASS)
    strict, relaxed = facts["far_at_100.false_alarms"], facts["far_at_99_5.false_alarms"]
    counts = {
        **{f"judged {verdict}": analysis.verdicts[verdict] for verdict in VERDICTS},
        "good parts rejected": facts["false_alarms"],
        "defects missed": facts["missed"],
        "weak labels without one row in the pool": uncovered,
        "false alarms that go at 99.5 % recall": (strict or 0) - (relaxed or 0),
    }
    return {signal: count for signal, count in counts.items() if count > 0}


ACTIONS = {
    "judged mislabeled": "have the label confirmed and corrected in the table, then plan a new run",
    "judged edge case": "write the rule for such parts down; keep them out of training until it is agreed",
    "judged data quality": "photograph or crop these parts again before any training sees them",
    "judged systematic": "the model reads a wrong feature: mine both sides of the same appearance",
    "good parts rejected": "mine PASS look-alikes of the weakest PASS rows; look for a cause they share",
    "defects missed": "mine or generate more of the missed labels before the recall floor is raised",
    "weak labels without one row in the pool": "collect or generate examples: mining cannot find them",
    "false alarms that go at 99.5 % recall": "look at the deciding defect first: it alone costs these",
}


# --- no threshold serves ---------------------------------------------------------------------


def _unreachable(folder: Path) -> Report:
    spec, run = spec_of(folder), guarding_run(folder)
    quoted = [line for line in files.read_text(folder / UNREACHABLE).splitlines() if line.strip()]
    facts = {"recall_floor": float(spec.get("min_recall", 1.0)), "unreachable": " ".join(quoted)}
    text = rendered(
        "rca_unreachable.md", facts=facts, origin=_origin(folder, spec, run), quoted=quoted[:SHOWN_A_SIDE]
    )
    return Report(NAME, text, facts, UNREACHABLE_SECTIONS, [], [UNREACHABLE], UNREACHABLE_ASKS)
