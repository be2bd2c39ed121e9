"""Draw the six bare-board defects on defect-free template crops, for the synthetic half of a pool.

Shapes stand where such a defect stands in reality: on an edge (mousebite, spur), across a track (open) or a
gap (short), inside copper (pinhole) or beside it (copper).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deft.workspace.drawing.blur import gaussian_blur
from deft.workspace.importers.conditions import CROP, WINDOW
from deft.workspace.importers.crops import VISIBLE_PIXELS, Mask, visible_pixels

Place = tuple[float, float]
Brush = Callable[[np.random.Generator, Mask], "Stroke | None"]

ATTEMPTS = 12
WIDEST = 36
_ROWS, _COLUMNS = np.indices((WINDOW, WINDOW), dtype=np.float32)

Stroke = tuple[Mask, bool]


def draw_defect(rng: np.random.Generator, golden: Mask, defect: str) -> Mask | None:
    """Return a (96, 96) template window with a defect inside its middle crop; None where none fits.

    The defect shows as crops of real boards must: at least `VISIBLE_PIXELS` differing pixels in the crop.
    """
    border = (WINDOW - CROP) // 2
    middle = slice(border, WINDOW - border)
    for _ in range(ATTEMPTS):
        stroke = BRUSHES[defect](rng, golden)
        if stroke is None:
            continue
        where, copper = stroke
        drawn = (golden | where) if copper else (golden & ~where)
        if visible_pixels(golden[middle, middle], drawn[middle, middle]) >= VISIBLE_PIXELS:
            return drawn
    return None


# --- brushes: where to draw, and whether copper is added -------------------------------------


def _mousebite(rng: np.random.Generator, golden: Mask) -> Stroke | None:
    edge = _edge_point(rng, golden)
    return None if edge is None else (_blob(rng, edge[0], rng.uniform(3.2, 5.5)), False)


def _spur(rng: np.random.Generator, golden: Mask) -> Stroke | None:
    edge = _edge_point(rng, golden)
    if edge is None:
        return None
    (row, column), outward = edge
    reach = rng.uniform(1.0, 3.0)
    tip = (row + reach * outward[0], column + reach * outward[1])
    return _blob(rng, tip, rng.uniform(3.0, 4.8)), True


def _copper(rng: np.random.Generator, golden: Mask) -> Stroke | None:
    radius = rng.uniform(3.2, 6.0)
    place = _point_with_room(rng, ~golden, radius + 1.5)
    return None if place is None else (_blob(rng, place, radius), True)


def _pinhole(rng: np.random.Generator, golden: Mask) -> Stroke | None:
    radius = rng.uniform(2.8, 4.5)
    place = _point_with_room(rng, golden, radius + 1.5)
    return None if place is None else (_blob(rng, place, radius), False)


def _open(rng: np.random.Generator, golden: Mask) -> Stroke | None:
    edge = _edge_point(rng, golden)
    if edge is None:
        return None
    point, outward = edge
    return _across(rng, golden, point, (-outward[0], -outward[1]), through=True)


def _short(rng: np.random.Generator, golden: Mask) -> Stroke | None:
    edge = _edge_point(rng, golden)
    return None if edge is None else _across(rng, golden, *edge, through=False)


BRUSHES: dict[str, Brush] = {
    "open": _open,
    "short": _short,
    "mousebite": _mousebite,
    "spur": _spur,
    "copper": _copper,
    "pinhole": _pinhole,
}


# --- places and shapes -----------------------------------------------------------------------


def _edge_point(rng: np.random.Generator, golden: Mask) -> tuple[Place, Place] | None:
    """Return a point on the edge of copper, clear of the crop's border, and the direction out of copper."""
    soft = gaussian_blur(golden.astype(np.float32), 1.5)
    margin = (WINDOW - CROP) // 2 + 8
    inner = np.zeros_like(golden)
    inner[margin:-margin, margin:-margin] = True
    rows, columns = np.nonzero(inner & (np.abs(soft - np.float32(0.5)) < 0.2))
    if not len(rows):
        return None
    pick = int(rng.integers(len(rows)))
    row, column = int(rows[pick]), int(columns[pick])
    down = float(soft[row + 1, column] - soft[row - 1, column])
    right = float(soft[row, column + 1] - soft[row, column - 1])
    length = float(np.hypot(down, right))
    return None if length < 0.05 else ((row, column), (-down / length, -right / length))


def _point_with_room(rng: np.random.Generator, ground: Mask, room: float) -> Place | None:
    """Return a point around which `ground` holds for `room` pixels, clear of the crop's border."""
    margin = (WINDOW - CROP) // 2 + 8
    for _ in range(ATTEMPTS):
        row, column = rng.integers(margin, WINDOW - margin, 2)
        if ground[_disc((float(row), float(column)), room)].all():
            return float(row), float(column)
    return None


def _across(
    rng: np.random.Generator, golden: Mask, start: Place, direction: Place, *, through: bool
) -> Stroke | None:
    """Return a bar from an edge to the opposite one: through copper (an open) or over a gap (a short)."""
    for distance in range(3, WIDEST):
        row = round(start[0] + direction[0] * distance)
        column = round(start[1] + direction[1] * distance)
        if not (0 <= row < WINDOW and 0 <= column < WINDOW):
            return None
        if bool(golden[row, column]) != through and distance > 3:
            return _bar(start, direction, distance, rng.uniform(1.6, 3.0)), not through
    return None


def _bar(start: Place, direction: Place, length: float, half_width: float) -> Mask:
    down, right = _ROWS - np.float32(start[0]), _COLUMNS - np.float32(start[1])
    along = down * direction[0] + right * direction[1]
    aside = np.abs(right * direction[0] - down * direction[1])
    bar: Mask = (along > -2) & (along < length + 2) & (aside <= half_width)
    return bar


def _disc(place: Place, radius: float) -> Mask:
    disc: Mask = (_ROWS - np.float32(place[0])) ** 2 + (_COLUMNS - np.float32(place[1])) ** 2 <= radius**2
    return disc


def _blob(rng: np.random.Generator, place: Place, radius: float) -> Mask:
    """Return a disc with an uneven rim."""
    down, right = _ROWS - np.float32(place[0]), _COLUMNS - np.float32(place[1])
    lobes, phase = int(rng.integers(2, 5)), rng.uniform(0, 2 * np.pi)
    rim = radius * (1 + 0.18 * np.sin(lobes * np.arctan2(down, right) + phase))
    blob: Mask = np.hypot(down, right) <= rim
    return blob
