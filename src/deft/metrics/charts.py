"""The look of every chart, and the two that belong to one scored table: its histogram and its confusions.

Data in, PNG or SVG bytes out, the same bytes for the same data. Every figure is built by itself under its own
settings, and matplotlib's global ones come back unchanged. Colours are Okabe and Ito's (2008), which
colour-blind readers can tell apart; classes differ in hatching or marker as well.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deft.metrics.operating_points import Flags, Floats, OperatingPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["png", "svg"]

PASS_COLOUR, DEFECT_COLOUR, THRESHOLD_COLOUR = "#0072B2", "#D55E00", "#222222"
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


@contextmanager
def chart(width: float, height: float, *, margins: Mapping[str, float]) -> Iterator[Figure]:
    """Open a figure of this size in inches; settings of the user or of other code have no say in it.

    Margins are fractions (left, right, bottom, top): a layout that finds them itself draws everything twice.
    """
    import matplotlib
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = dict(matplotlib.rcParamsDefault) | _SETTINGS
    settings = {key: value for key, value in settings.items() if not key.startswith("backend")}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width, height))
        figure.subplots_adjust(**margins)
        yield figure


def text_width(texts: Sequence[str]) -> float:
    """Return how wide the widest of some tick labels is drawn, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=_SETTINGS["font.family"], size=_SETTINGS["font.size"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        widths = [text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] for text in texts]
    return float(max(widths, default=0.0)) / 72


def encode(figure: Figure, kind: Format) -> bytes:
    """Return a finished figure as bytes that hold no date and no version."""
    buffer = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    options: dict[str, Any] = (
        {"pil_kwargs": {"compress_level": 3}} if kind == "png" else {}
    )  # a tenth larger, a third faster
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)  # it is drawn as a box
        figure.savefig(buffer, format=kind, dpi=144, metadata=metadata, **options)
    return buffer.getvalue()


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
    margins = {"left": 0.135, "right": 0.98, "bottom": 0.34 if threshold is not None else 0.26, "top": 0.9}
    with chart(7.2, 3.7, margins=margins) as figure:
        axes = figure.subplots()
        for name, rows, colour, hatch in (
            ("PASS", ~is_defect, PASS_COLOUR, ""),
            ("defect", is_defect, DEFECT_COLOUR, "////"),
        ):
            _histogram(axes, scores[rows & finite], edges, f"{name} ({rows.sum():,} rows)", colour, hatch)
        axes.set(title=title, xlabel="score", ylabel="rows (log scale)")
        if finite.any():
            axes.set_yscale("log")
            axes.minorticks_off()  # a fifth of the time of a chart, for what nobody counts
            axes.set_ylim(bottom=0.7)
            axes.yaxis.set_major_formatter(plain_number)
        if threshold is not None:
            _mark_threshold(axes, scores, is_defect, threshold)
        figure.legend(loc="lower center", ncols=3)
        return encode(figure, kind)


def plain_number(value: float, _: float) -> str:
    """Write a tick as people do: 1,000, not a power of ten (matplotlib passes a position too)."""
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
    with chart(4.6, 3.7, margins={"left": 0.17, "right": 0.95, "bottom": 0.16, "top": 0.88}) as figure:
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
        return encode(figure, kind)
