"""Paint anti-aliased shapes into three maps of one picture: albedo, height and gloss.

The maps describe the surface, not its look: `optics` lights them (research/engine.md section 5).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SIZE = 64
CENTRE = (SIZE - 1) / 2

Array = npt.NDArray[np.float32]
Colour = tuple[float, float, float]
Profile = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Material:
    """What a surface reflects: albedo in display units 0..1 and the share of mirror reflection."""

    colour: Colour
    gloss: float


@dataclass(frozen=True)
class Frame:
    """A place and a direction on the picture, in pixels from its centre and radians."""

    x: float = 0.0
    y: float = 0.0
    angle: float = 0.0

    def at(self, u: float, v: float, angle: float = 0.0) -> Frame:
        """Return the frame at a point of this one, turned further by `angle`."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return Frame(self.x + cosine * u - sine * v, self.y + sine * u + cosine * v, self.angle + angle)


@dataclass(frozen=True)
class Patch:
    """The pixels a shape can touch and their coordinates in the shape's own frame."""

    rows: slice
    columns: slice
    u: Array
    v: Array

    @property
    def window(self) -> tuple[slice, slice]:
        return self.rows, self.columns


_PIXELS = np.arange(SIZE, dtype=np.float32) - np.float32(CENTRE)


def patch(frame: Frame, radius: float) -> Patch:
    """Return the square window of `radius` pixels around a frame, clipped to the picture."""
    reach = math.ceil(radius) + 1
    low_x, high_x = _clip(frame.x + CENTRE, reach)
    low_y, high_y = _clip(frame.y + CENTRE, reach)
    dx = _PIXELS[None, low_x:high_x] - np.float32(frame.x)
    dy = _PIXELS[low_y:high_y, None] - np.float32(frame.y)
    cosine, sine = np.float32(math.cos(frame.angle)), np.float32(math.sin(frame.angle))
    return Patch(slice(low_y, high_y), slice(low_x, high_x), cosine * dx + sine * dy, cosine * dy - sine * dx)


def _clip(centre: float, reach: int) -> tuple[int, int]:
    low = min(max(math.floor(centre) - reach, 0), SIZE)
    return low, max(low, min(math.ceil(centre) + reach + 1, SIZE))


def box_cover(area: Patch, half_u: float, half_v: float, corner: float = 0.0, middle: float = 0.0) -> Array:
    """Return how much of each pixel a rounded box covers, 0..1; `middle` is where its centre lies on u."""
    du = np.abs(area.u - np.float32(middle)) - np.float32(half_u - corner)
    dv = np.abs(area.v) - np.float32(half_v - corner)
    distance = np.maximum(du, dv)
    if corner > 0:
        outside = np.hypot(np.maximum(du, 0), np.maximum(dv, 0))
        distance = outside + np.minimum(distance, 0) - np.float32(corner)
    cover: Array = np.clip(np.float32(0.5) - distance, 0, 1)
    return cover


def disc_cover(area: Patch, half_u: float, half_v: float) -> Array:
    """Return how much of each pixel an ellipse covers, 0..1."""
    radius = np.hypot(area.u / np.float32(half_u), area.v / np.float32(half_v))
    cover: Array = np.clip(np.float32(0.5) + (1 - radius) * np.float32(min(half_u, half_v)), 0, 1)
    return cover


class Canvas:
    """The surface of one picture: `albedo` (64, 64, 3), `height` (64, 64) in pixels, `gloss` (64, 64)."""

    def __init__(self, ground: Material) -> None:
        self.albedo = np.empty((SIZE, SIZE, 3), np.float32)
        self.albedo[:] = ground.colour
        self.height = np.zeros((SIZE, SIZE), np.float32)
        self.gloss = np.full((SIZE, SIZE), ground.gloss, np.float32)

    def cover(self, area: Patch, cover: Array, material: Material, height: Array | float | None) -> None:
        """Lay a material over the surface; `height` None keeps the height that is there."""
        albedo, gloss = self.albedo[area.window], self.gloss[area.window]
        albedo += cover[..., None] * (np.asarray(material.colour, np.float32) - albedo)
        gloss += cover * (np.float32(material.gloss) - gloss)
        if height is not None:
            surface = self.height[area.window]
            surface += cover * (np.asarray(height, np.float32) - surface)

    def box(
        self,
        frame: Frame,
        half_u: float,
        half_v: float,
        material: Material,
        height: float | Profile | None = None,
        corner: float = 0.0,
    ) -> None:
        """Paint a rounded box; a height may be a function of the box's own coordinates."""
        area = patch(frame, math.hypot(half_u, half_v))
        level = height(area.u, area.v) if callable(height) else height
        self.cover(area, box_cover(area, half_u, half_v, corner), material, level)

    def disc(
        self,
        frame: Frame,
        half_u: float,
        half_v: float,
        material: Material,
        height: float | Profile | None = None,
    ) -> None:
        """Paint an ellipse; a height may be a function of the ellipse's own coordinates."""
        area = patch(frame, max(half_u, half_v))
        level = height(area.u, area.v) if callable(height) else height
        self.cover(area, disc_cover(area, half_u, half_v), material, level)

    def stencil(self, frame: Frame, bitmap: Array, scale: float, material: Material) -> None:
        """Paint a bitmap (rows, columns; 0..1) of `scale` pixels a cell around a frame, smoothed."""
        rows, columns = bitmap.shape
        area = patch(frame, scale * math.hypot(rows, columns) / 2)
        cover = _sample(
            bitmap, area.v / np.float32(scale) + rows / 2, area.u / np.float32(scale) + columns / 2
        )
        self.cover(area, cover, material, None)


def _sample(bitmap: Array, row: Array, column: Array) -> Array:
    """Interpolate a bitmap, zero outside, at cell coordinates (cell centres lie at halves)."""
    padded = np.pad(bitmap, 1)
    row = np.clip(row + np.float32(0.5), 0, padded.shape[0] - 1.001).astype(np.float32)
    column = np.clip(column + np.float32(0.5), 0, padded.shape[1] - 1.001).astype(np.float32)
    top, left = row.astype(np.intp), column.astype(np.intp)
    down, right = row - top, column - left
    upper = padded[top, left] * (1 - right) + padded[top, left + 1] * right
    lower = padded[top + 1, left] * (1 - right) + padded[top + 1, left + 1] * right
    cover: Array = upper * (1 - down) + lower * down
    return cover
