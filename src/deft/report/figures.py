"""Charts of a report: data in, PNG or SVG bytes out, the same bytes for the same data.

Every figure is built by itself under its own settings, and matplotlib's global ones come back unchanged.
Colours are Okabe and Ito's (2008), which colour-blind readers can tell apart; classes differ in hatching or
marker as well. Rates are drawn in percent on a scale that is linear up to 0.1 % and logarithmic above, so
that a rate of 0 has a place on it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deft.metrics.operating_points import Flags, Floats, OperatingPoint, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["png", "svg"]

PASS_COLOUR, DEFECT_COLOUR, THRESHOLD_COLOUR = "#0072B2", "#D55E00", "#222222"
BEFORE_COLOUR, AFTER_COLOUR = "#9AA5B1", "#009E73"
_SETTINGS: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E6EA",
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "deft",
    "text.parse_math": False,  # a defect type may hold a dollar sign
}
_LINEAR_UP_TO = 0.1  # percent


@contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    """Open a figure of this size in inches; settings of the user or of other code have no say in it."""
    import matplotlib
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = dict(matplotlib.rcParamsDefault) | _SETTINGS
    settings = {key: value for key, value in settings.items() if not key.startswith("backend")}
    with matplotlib.rc_context(settings):
        yield Figure(figsize=(width, height), layout="constrained")


def _encode(figure: Figure, kind: Format) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)  # it is drawn as a box
        figure.savefig(buffer, format=kind, dpi=144, metadata=metadata)
    return buffer.getvalue()


# --- scores ----------------------------------------------------------------------------------


def score_histogram(
    scores: Floats,
    is_defect: Flags,
    threshold: float | None,
    *,
    bins: int = 40,
    title: str = "Scores and the threshold that misses no defect",
    kind: Format = "png",
) -> bytes:
    """Draw both classes' scores, counts on a logarithmic scale, and the threshold (None: none drawn).

    Infinite scores have no place on the axis; the caption counts every row.
    """
    finite = np.isfinite(scores)
    edges = np.histogram_bin_edges(scores[finite], bins=bins) if finite.any() else np.linspace(0, 1, bins + 1)
    with _figure(7.2, 3.7) as figure:
        axes = figure.subplots()
        for name, rows, colour, hatch in (
            ("PASS", ~is_defect, PASS_COLOUR, ""),
            ("defect", is_defect, DEFECT_COLOUR, "////"),
        ):
            _histogram(axes, scores[rows & finite], edges, f"{name} ({rows.sum():,} rows)", colour, hatch)
        axes.set(title=title, xlabel="score", ylabel="rows (log scale)")
        if finite.any():
            axes.set_yscale("log")
            axes.set_ylim(bottom=0.7)
            axes.yaxis.set_major_formatter(_plain_number)
        if threshold is not None:
            _mark_threshold(axes, scores, is_defect, threshold)
        figure.legend(loc="outside lower center", ncols=3)
        return _encode(figure, kind)


def _plain_number(value: float, _: float) -> str:
    return f"{value:,g}"


def _histogram(axes: Axes, scores: Floats, edges: Floats, label: str, colour: str, hatch: str) -> None:
    face = colour + "66"
    kind: Literal["stepfilled"] = "stepfilled"
    axes.hist(
        scores, edges.tolist(), histtype=kind, label=label, facecolor=face, edgecolor=colour, hatch=hatch
    )


def _mark_threshold(axes: Axes, scores: Floats, is_defect: Flags, threshold: float) -> None:
    flagged = scores > threshold
    alarms, missed = int((flagged & ~is_defect).sum()), int((~flagged & is_defect).sum())
    counts = f"right of it {alarms:,} false alarms,\nleft of it {missed:,} missed defects"
    if np.isfinite(threshold):
        axes.axvline(
            threshold,
            color=THRESHOLD_COLOUR,
            linestyle="--",
            linewidth=1.6,
            label=f"threshold {threshold:.4g}\n{counts}",
        )


def confusion_matrix(point: OperatingPoint, title: str, *, kind: Format = "png") -> bytes:
    """Draw the four counts of an operating point, each with its share of the actual class."""
    counts = np.array([[point.tn, point.fp], [point.fn, point.tp]])
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with _figure(4.6, 3.7) as figure:
        axes = figure.subplots()
        axes.imshow(counts / totals, cmap="Blues", vmin=0, vmax=1.4)
        for (row, column), count in np.ndenumerate(counts):
            share = count / totals[row, 0]
            name = (("right", "false alarm"), ("missed", "found"))[row][column]
            text = f"{count:,}\n{share:.2%}\n{name}"
            axes.text(
                column, row, text, ha="center", va="center", color="white" if share > 0.8 else "#222222"
            )
        axes.set(title=f"{title} (threshold {point.threshold:.4g})", xlabel="called", ylabel="actually")
        axes.set(xticks=[0, 1], yticks=[0, 1], xticklabels=["PASS", "defect"], yticklabels=["PASS", "defect"])
        axes.grid(visible=False)
        return _encode(figure, kind)


# --- false alarms ----------------------------------------------------------------------------


def far_against_recall(
    series: Mapping[str, Sweep], *, target: tuple[float, float] | None = None, kind: Format = "png"
) -> bytes:
    """Draw false alarm rate against recall, one line a series in the given order, whole and from 95 % on.

    `target` is (recall, far) in fractions and is drawn as a mark. The last series is drawn strongest.
    """
    with _figure(7.8, 3.9) as figure:
        whole, zoom = figure.subplots(1, 2, sharey=True, width_ratios=[1, 2])
        for axes in (whole, zoom):
            for label, points, style in _styled(series):
                recalls, rates = _steps(points)
                axes.plot(recalls * 100, rates * 100, drawstyle="steps-pre", label=label, **style)
            if target:
                axes.plot(
                    target[0] * 100, target[1] * 100, "*", color="#CC79A7", markersize=13, label="target"
                )
            axes.set(xlabel="defects found (recall, %)")
        whole.set(
            title="Every recall", ylabel="false alarm rate (%)", xlim=(0, 106), xticks=(0, 25, 50, 75, 100)
        )
        zoom.set(title="95 % recall and above", xlim=(95, 100.12))
        _rate_scale(zoom, max(float(_steps(points)[1].max()) for points in series.values()) * 100)
        figure.legend(
            *zoom.get_legend_handles_labels(), loc="outside lower center", ncols=min(len(series) + 1, 6)
        )
        return _encode(figure, kind)


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
    axes.yaxis.set_major_formatter(_plain_number)


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
    with _figure(7.2, 3.7) as figure:
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
            axes.axhline(target * 100, color="#CC79A7", linewidth=1.6, label=f"target {target:.2%}")
        axes.set(title="False alarm rate after each round", ylabel="false alarm rate (%)")
        axes.set_xticks(places, list(records))
        axes.grid(visible=False, axis="x")
        _rate_scale(axes, highest)
        figure.legend(loc="outside lower center", ncols=2)
        return _encode(figure, kind)


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
    """Draw a figure of `per_label` of two kpi.json records as pairs of bars, the weakest type on top."""
    labels = sorted(set(before) | set(after), key=lambda label: (_value(before, label, figure_name), label))
    places = np.arange(len(labels))[::-1]
    with _figure(7.2, 1.5 + 0.5 * len(labels)) as figure:
        axes = figure.subplots()
        for side, name, colour, shift in (
            (before, names[0], BEFORE_COLOUR, 0.19),
            (after, names[1], AFTER_COLOUR, -0.19),
        ):
            values = [_value(side, label, figure_name) * 100 for label in labels]
            bars = axes.barh(places + shift, values, height=0.36, color=colour, label=name)
            axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8.5)
        axes.set(title=title, xlabel="defects found (recall, %)", xlim=(0, 108), xticks=range(0, 101, 20))
        axes.set_yticks(places, [f"{label} ({_rows(before, after, label)} rows)" for label in labels])
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside lower center", ncols=2)
        return _encode(figure, kind)


def _value(side: Mapping[str, Mapping[str, Any]], label: str, figure_name: str) -> float:
    return float(side[label][figure_name]) if label in side else 0.0


def _rows(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]], label: str) -> int:
    return int((after.get(label) or before[label])["rows"])
