"""Set two runs side by side: what differed in what was agreed to, and in what came of it."""

from __future__ import annotations

from typing import Any

from deft.report.facts import RunFacts
from deft.workspace.layout import BASELINE, RunFolder

Record = dict[str, Any]
FIGURES = ("far_at_100", "far_at_99_5", "far_at_99")


def compare_runs(first: RunFolder, second: RunFolder) -> Record:
    """Return the figures of both best models and every setting or input that differs."""
    sides = [RunFacts.of(first), RunFacts.of(second)]
    return {
        "runs": [facts.plan["run_id"] for facts in sides],
        "same_kpi_set": _same(sides, "inputs", "kpi/testing_set.csv"),
        "figures": {name: [_figure(facts, name) for facts in sides] for name in _figure_names()},
        "different": _differences(sides),
    }


def _figure_names() -> tuple[str, ...]:
    return (*FIGURES, "mean_far_98_100", "auroc", "training_rows")


def _figure(facts: RunFacts, name: str) -> float | None:
    best = facts.incumbent
    if not best:
        return None
    if name == "training_rows":
        return _training_rows(facts)
    value = best["kpi"][name]
    return float(value["far"] if isinstance(value, dict) else value)


def _training_rows(facts: RunFacts) -> int | None:
    """Count what the best model was trained on; the baseline's rows are the base of any iteration."""
    for row in facts.training_rows():
        if facts.state["incumbent"] == BASELINE:
            return int(row["base"])
        if row["phase"] == facts.state["incumbent"]:
            return sum(int(count) for kind, count in row.items() if kind != "phase")
    return None


def _same(sides: list[RunFacts], part: str, key: str) -> bool:
    return bool(sides[0].plan[part].get(key) == sides[1].plan[part].get(key))


def _differences(sides: list[RunFacts]) -> dict[str, list[Any]]:
    settings = [
        {name: setting["value"] for name, setting in facts.plan["settings"].items()} for facts in sides
    ]
    names = sorted(set(settings[0]) | set(settings[1]))
    return {
        name: [side.get(name) for side in settings]
        for name in names
        if settings[0].get(name) != settings[1].get(name)
    }


def comparison_text(record: Record) -> str:
    """Return the comparison as a table for a terminal."""
    lines = [f"{'':20}{record['runs'][0]:>24}{record['runs'][1]:>24}"]
    for name, values in record["figures"].items():
        lines.append(f"{name:20}" + "".join(f"{_shown(name, value):>24}" for value in values))
    lines += [f"{name:20}{values[0]!s:>24}{values[1]!s:>24}" for name, values in record["different"].items()]
    if not record["same_kpi_set"]:
        lines.append("The KPI sets differ: the figures are not comparable.")
    return "\n".join(lines)


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.3f} %" if "far" in name else f"{value:.4f}".rstrip("0").rstrip(".")
