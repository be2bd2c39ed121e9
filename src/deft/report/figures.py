"""Charts that compare the phases of a run, in the look of metrics/charts.py.

Rates are drawn in percent on a scale that is linear up to 0.1 % and logarithmic above, so that a rate of 0
has a place on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deft.metrics.charts import (
    PASS_COLOUR,
    THRESHOLD_COLOUR,
    Format,
    chart,
    encode,
    plain_number,
    text_width,
)
from deft.metrics.operating_points import Floats, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEFORE_COLOUR, AFTER_COLOUR, TARGET_COLOUR = "#9AA5B1", "#009E73", "#CC79A7"
_LINEAR_UP_TO = 0.1  # percent
MOST_LABELS, LONGEST_LABEL = 30, 28


def far_against_recall(
    series: Mapping[str, Sweep], *, target: tuple[float, float] | None = None, kind: Format = "png"
) -> bytes:
    """Draw false alarm rate against recall, one line a series in the given order, whole and from 95 % on.

    `target` is (recall, far) in fractions and is drawn as a mark. The last series is drawn strongest.
    """
    lines_of_legend = -(-(len(series) + 1) // 6)
    margins = {
        "left": 0.09,
        "right": 0.98,
        "bottom": 0.17 + 0.07 * lines_of_legend,
        "top": 0.9,
        "wspace": 0.06,
    }
    with chart(7.8, 3.9, margins=margins) as figure:
        whole, zoom = figure.subplots(1, 2, sharey=True, width_ratios=[1, 2])
        for axes in (whole, zoom):
            for label, points, style in _styled(series):
                recalls, rates = _steps(points)
                axes.plot(recalls * 100, rates * 100, drawstyle="steps-pre", label=label, **style)
            if target:
                axes.plot(
                    target[0] * 100, target[1] * 100, "*", color=TARGET_COLOUR, markersize=13, label="target"
                )
            axes.set(xlabel="defects found (recall, %)")
        whole.set(
            title="Every recall", ylabel="false alarm rate (%)", xlim=(0, 106), xticks=(0, 25, 50, 75, 100)
        )
        zoom.set(title="95 % recall and above", xlim=(95, 100.12))
        _rate_scale(zoom, max(float(_steps(points)[1].max()) for points in series.values()) * 100)
        figure.legend(*zoom.get_legend_handles_labels(), loc="lower center", ncols=min(len(series) + 1, 6))
        return encode(figure, kind)


def _styled(series: Mapping[str, Sweep]) -> Iterator[tuple[str, Sweep, dict[str, Any]]]:
    import matplotlib

    shades = matplotlib.colormaps["viridis_r"](np.linspace(0.25, 0.9, max(len(series) - 1, 1)))
    last = len(series) - 1
    for i, (label, points) in enumerate(series.items()):
        first_style = {"color": "#777777", "linestyle": "--"}
        style = first_style if i == 0 else {"color": tuple(shades[i - 1])}
        yield label, points, style | {"linewidth": 2.4 if i == last else 1.5}


def _steps(points: Sweep) -> tuple[Floats, Floats]:
    """Return ascending recalls and, for each, the lowest false alarm rate that reaches it."""
    last_of_recall = np.append(points.recall[1:] != points.recall[:-1], True)
    return points.recall[last_of_recall][::-1], points.far[last_of_recall][::-1]


def _rate_scale(axes: Axes, highest: float) -> None:
    top = next((tick for tick in (0.3, 1.0, 3.0, 10.0, 30.0) if tick > highest * 1.05), 100.0)
    ticks = [tick for tick in (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0) if tick <= top]
    axes.set_yscale("symlog", linthresh=_LINEAR_UP_TO, linscale=0.6)
    axes.set_ylim(-0.01, top * 1.06)
    axes.set_yticks(ticks)
    axes.set_yticks([], minor=True)
    axes.yaxis.set_major_formatter(plain_number)


def far_per_iteration(
    records: Mapping[str, Mapping[str, Any]], *, target: float | None = None, kind: Format = "png"
) -> bytes:
    """Draw FAR at 100, 99.5 and 99 % recall for each phase's kpi.json record, with its interval where valid.

    `target` is a fraction. FAR at 100 % recall hangs on one row and has no interval.
    """
    markers = {
        "far_at_100": ("at 100 % recall (one row decides it)", "D", THRESHOLD_COLOUR),
        "far_at_99_5": ("at 99.5 % recall", "o", PASS_COLOUR),
        "far_at_99": ("at 99 % recall", "s", AFTER_COLOUR),
    }
    places = np.arange(len(records))
    with chart(7.2, 3.7, margins={"left": 0.11, "right": 0.98, "bottom": 0.27, "top": 0.9}) as figure:
        axes = figure.subplots()
        highest = 0.0
        for shift, (name, (label, marker, colour)) in zip((-0.16, 0.0, 0.16), markers.items(), strict=True):
            rates, reach = _rates_and_reach(records, name)
            style: dict[str, Any] = {
                "fmt": marker,
                "color": colour,
                "markersize": 6,
                "capsize": 3,
                "linestyle": ":",
            }
            axes.errorbar(places + shift, rates, yerr=reach, label=label, linewidth=1.3, **style)
            highest = max(highest, float(np.max(rates + reach[1])))
        if target is not None:
            axes.axhline(target * 100, color=TARGET_COLOUR, linewidth=1.6, label=f"target {target:.2%}")
        axes.set(title="False alarm rate after each round", ylabel="false alarm rate (%)")
        axes.set_xticks(places, list(records))
        axes.grid(visible=False, axis="x")
        _rate_scale(axes, highest)
        figure.legend(loc="lower center", ncols=2)
        return encode(figure, kind)


def _rates_and_reach(records: Mapping[str, Mapping[str, Any]], name: str) -> tuple[Floats, Floats]:
    """Return one figure of each record in percent, and how far its interval reaches below and above."""
    rates = np.array([record[name]["far"] * 100 for record in records.values()], dtype=np.float64)
    ends = [record["intervals"].get(name) for record in records.values()]
    low = np.array([end[0] * 100 if end else rate for end, rate in zip(ends, rates, strict=True)])
    high = np.array([end[1] * 100 if end else rate for end, rate in zip(ends, rates, strict=True)])
    return rates, np.maximum(np.stack([rates - low, high - rates]), 0.0)


def recall_by_label(
    before: Mapping[str, Mapping[str, Any]],
    after: Mapping[str, Mapping[str, Any]],
    *,
    figure_name: str = "recall_at_far_1",
    names: Sequence[str] = ("baseline", "latest"),
    title: str = "Defects found at 1 % false alarms, by type",
    kind: Format = "png",
) -> bytes:
    """Draw a figure of `per_label` of two kpi.json records as pairs of bars, the weakest type on top.

    Of very many types the weakest are drawn, and a very long name is cut: a chart has room for no more.
    """
    known = sorted(set(before) | set(after), key=lambda label: (_value(before, label, figure_name), label))
    labels = known[:MOST_LABELS]
    if len(labels) < len(known):
        title = f"{title} (the {MOST_LABELS} weakest of {len(known)})"
    places = np.arange(len(labels))[::-1]
    ticks = [f"{_brief(label)} ({_rows(before, after, label)} rows)" for label in labels]
    width, height = 7.2, 1.5 + 0.5 * len(labels)
    margins = {
        "left": (text_width(ticks) + 0.25) / width,
        "right": 0.98,
        "bottom": 0.85 / height,
        "top": 1 - 0.4 / height,
    }
    with chart(width, height, margins=margins) as figure:
        axes = figure.subplots()
        for side, name, colour, shift in (
            (before, names[0], BEFORE_COLOUR, 0.19),
            (after, names[1], AFTER_COLOUR, -0.19),
        ):
            values = [_value(side, label, figure_name) * 100 for label in labels]
            bars = axes.barh(places + shift, values, height=0.36, color=colour, label=name)
            axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8.5)
        figure.suptitle(title, x=0.015, y=1 - 0.12 / height, ha="left", va="top", size=11, weight="bold")
        axes.set(xlabel="defects found (recall, %)", xlim=(0, 108), xticks=range(0, 101, 20))
        axes.set_yticks(places, ticks)
        axes.grid(visible=False, axis="y")
        axes.set_ylim(-0.6, len(labels) - 0.4)
        figure.legend(loc="lower center", ncols=2)
        return encode(figure, kind)


def _value(side: Mapping[str, Mapping[str, Any]], label: str, figure_name: str) -> float:
    return float(side[label][figure_name]) if label in side else 0.0


def _brief(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"


def _rows(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]], label: str) -> int:
    return int((after.get(label) or before[label])["rows"])
