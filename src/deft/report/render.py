"""Render `DEFT_Loop_Report.html`: one file, no script, no network, the same bytes for the same run folder."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from deft import files
from deft.metrics.charts import score_histogram
from deft.metrics.kpi import defect_flags
from deft.metrics.operating_points import sweep
from deft.report.facts import RunFacts
from deft.report.figures import far_against_recall, far_per_iteration, recall_by_label
from deft.report.pictures import drawn, thumbnail
from deft.run.evaluation import PROMOTED_BY, PROMOTION
from deft.untrusted import untrusted
from deft.workspace.layout import RunFolder

TEMPLATES = Path(__file__).parent / "templates"
Record = dict[str, Any]


def render_report(run: RunFolder) -> Path:
    """Write the report of a run from its folder alone and return its path."""
    facts = RunFacts.of(run)
    return files.write_text(run.report, report_html(facts))


def report_html(facts: RunFacts) -> str:
    """Return the report as HTML; every text is escaped, the style is allowed by its hash alone."""
    style = files.read_text(TEMPLATES / "loop_report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    return _template().render(
        facts=facts,
        style=Markup(style),
        style_hash=f"sha256-{digest}",
        figures=_figures(facts) if facts.evaluated else {},
        deciding=_deciding(facts),
        promotion=", then ".join(PROMOTED_BY[name] for name in facts.plan.get("promotion", PROMOTION)),
    )


@cache
def _template() -> jinja2.Template:
    """Compile the page once: it is rendered after every stage."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(percent=percent, number=number, seconds=seconds, thumbnail=thumbnail)
    environment.filters.update(percent_interval=percent_interval, number_interval=number_interval)
    environment.filters.update(untrusted=untrusted)
    environment.globals.update(figure=figure)
    return environment.get_template("loop_report.html")


def percent(value: float | None, digits: int = 2) -> str:
    """Return a fraction as a percentage, or a dash where it is undefined."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def number(value: float | None) -> str:
    """Return a score or a threshold to four digits, or a dash where there is none."""
    return "–" if value is None else f"{value:.4g}"


def figure(record: Mapping[str, Any], path: str) -> Any:
    """Return the figure at a dotted path, or None: a run of an older version holds fewer of them."""
    found: Any = record
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def percent_interval(interval: Sequence[float] | None) -> str:
    """Return an interval of fractions as percentages in brackets, nothing where there is none."""
    return "" if interval is None else f"[{percent(interval[0])}, {percent(interval[1])}]"


def number_interval(interval: Sequence[float] | None) -> str:
    """Return an interval in brackets to four digits, nothing where there is none."""
    return "" if interval is None else f"[{number(interval[0])}, {number(interval[1])}]"


def seconds(value: float) -> str:
    """Return a duration for people."""
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _figures(facts: RunFacts) -> Record:
    phases = facts.evaluated
    last, first = facts.state["incumbent"], next(iter(phases))
    tables = {name: facts.scores(name) for name in phases}
    flags = {name: defect_flags(table["label"]) for name, table in tables.items()}
    histograms = {
        name: drawn(
            score_histogram,
            tables[name]["siamese_score"].to_numpy(),
            flags[name],
            phases[name]["threshold"],
            title=f"{name}: scores and the threshold that misses no defect",
        )
        for name in (first, last)
    }
    curves = {name: sweep(tables[name]["siamese_score"], flags[name]) for name in phases}
    kpis = {name: phase["kpi"] for name, phase in phases.items()}
    goal = _far_goal(facts)
    return {
        "histograms": histograms,
        "curve": drawn(far_against_recall, curves, target=goal),
        "per_iteration": drawn(far_per_iteration, kpis, target=goal[1] if goal else None),
        "by_label": drawn(
            recall_by_label, kpis[first]["per_label"], kpis[last]["per_label"], names=(first, last)
        ),
    }


def _far_goal(facts: RunFacts) -> tuple[float, float] | None:
    """Return (recall, FAR) where the target is a false alarm rate: the point the curves must pass under."""
    target = facts.target
    return (target.recall_floor, target.goal.value) if target.goal.metric == "far" else None


def _deciding(facts: RunFacts) -> list[Record]:
    """Return, per phase, the one defect that sets FAR at 100 % recall, with its pictures if there are any."""
    found = []
    for name, phase in facts.evaluated.items():
        image, golden = facts.deciding_picture(phase) or ("", "")
        defect = phase["kpi"]["far_at_100"]["deciding_defect"]
        found.append({"phase": name, **defect, "image": image, "golden": golden})
    return found
