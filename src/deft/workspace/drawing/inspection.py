"""Inspect drawn parts: golden pictures, test pictures within tolerance, defects that can be seen.

A defect counts only if it shows: its picture is compared with the picture of the same exposure of the same
assembly without the defect, and is drawn again until the difference passes a floor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from deft.workspace.drawing import optics
from deft.workspace.drawing.assembly import Assembly, golden_assembly, paint
from deft.workspace.drawing.canvas import Array, Canvas, Frame, Material
from deft.workspace.drawing.defects import apply_defect
from deft.workspace.drawing.optics import Picture
from deft.workspace.drawing.parts import Ground, Part

CONTRAST_LIMIT = 24
FLOOR_PIXELS = 24
FLOOR_CONTRAST = 34.0
MAX_DRAWS = 40
DUST_SHARE = 0.25


@dataclass(frozen=True)
class Place:
    """A part on a product's board, under the light of the line that builds it."""

    part: Part
    ground: Ground
    lighting: str


@dataclass(frozen=True)
class Visibility:
    """How a defect shows: pixels that differ by `CONTRAST_LIMIT` of 255 or more, and their mean."""

    pixels: int
    contrast: float

    @property
    def passes(self) -> bool:
        return self.pixels >= FLOOR_PIXELS and self.contrast >= FLOOR_CONTRAST


@dataclass(frozen=True)
class Style:
    """How far pictures of one source stray: the line's own cameras, or a generator of synthetic pictures."""

    blur: tuple[float, float] = (0.35, 0.75)
    noise: tuple[float, float] = (1.5, 4.0)
    exposure: float = 0.10
    shift: float = 1.2


LINE = Style()
GENERATOR = Style(blur=(0.7, 0.95), noise=(0.4, 1.0), exposure=0.05, shift=0.4)


@dataclass(frozen=True)
class Shot:
    """Everything random about one picture but the defect: two pictures of one shot differ by it alone."""

    board: Frame
    camera: optics.Camera
    assembly: Assembly
    dust: tuple[tuple[float, float, float, float], ...]


def golden_picture(place: Place, noise: Array) -> Picture:
    """Photograph the golden part: nominal placement, fixed exposure."""
    surface = paint(place.part, place.ground, golden_assembly(place.part), Frame())
    return optics.photograph(surface, optics.Camera(optics.LIGHTINGS[place.lighting]), noise)


def good_picture(rng: np.random.Generator, place: Place, noise: Array, style: Style = LINE) -> Picture:
    """Photograph a good part: within placement, solder, camera and light tolerance of its golden one."""
    return _take(place, draw_shot(rng, place, style), noise)


def defect_pictures(
    rng: np.random.Generator, place: Place, defect: str, noise: Array, style: Style = LINE
) -> tuple[Picture, Picture, Visibility]:
    """Photograph a defect, the same shot without it, and how far they differ: never less than the floor."""
    best: tuple[Picture, Picture, Visibility] | None = None
    for _ in range(MAX_DRAWS):
        shot = draw_shot(rng, place, style)
        clean = _take(place, shot, noise)
        bad_assembly = apply_defect(rng, place.part, shot.assembly, defect)
        bad = _take(place, replace(shot, assembly=bad_assembly), noise)
        seen = visibility(bad, clean)
        if seen.passes:
            return bad, clean, seen
        best = max(
            (found for found in (best, (bad, clean, seen)) if found), key=lambda found: found[2].pixels
        )
    raise AssertionError(
        f"{defect} on {place.part.kind} under {place.lighting} never shows: {best and best[2]}"
    )


def visibility(bad: Picture, clean: Picture) -> Visibility:
    """Measure how a picture differs from its defect-free twin; the strongest colour channel counts."""
    difference = np.abs(bad.astype(np.int16) - clean).max(axis=2)
    visible = difference[difference >= CONTRAST_LIMIT]
    return Visibility(int(visible.size), round(float(visible.mean()), 1) if visible.size else 0.0)


def draw_shot(rng: np.random.Generator, place: Place, style: Style) -> Shot:
    """Draw placement, solder, camera, light and dust tolerances."""
    x, y = rng.uniform(-style.shift, style.shift, 2)
    board = Frame(float(x), float(y), math.radians(rng.normal(0, 0.25)))
    balance = 1 + rng.normal(0, 0.015, 3)
    camera = optics.Camera(
        optics.LIGHTINGS[place.lighting],
        exposure=1 + float(rng.uniform(-style.exposure, style.exposure)),
        balance=(float(balance[0]), float(balance[1]), float(balance[2])),
        key_azimuth=0.8 + float(rng.normal(0, 0.15)),
        blur=float(rng.uniform(*style.blur)),
        noise=float(rng.uniform(*style.noise)),
        noise_start=int(rng.integers(0, optics.NOISE_SAMPLES)),
    )
    solder = tuple(float(amount) for amount in np.clip(rng.normal(1.0, 0.06, place.part.pins), 0.85, 1.15))
    offset = rng.uniform(-0.6, 0.6, 2)
    assembly = Assembly(solder, (float(offset[0]), float(offset[1])), math.radians(rng.uniform(-0.9, 0.9)))
    return Shot(board, camera, assembly, _draw_dust(rng))


def _draw_dust(rng: np.random.Generator) -> tuple[tuple[float, float, float, float], ...]:
    """Return (x, y, radius, brightness) of harmless specks on the bare board."""
    if rng.random() >= DUST_SHARE:
        return ()
    count = int(rng.integers(1, 4))
    specks = zip(
        rng.uniform(-30, 30, count),
        rng.uniform(-30, 30, count),
        rng.uniform(0.6, 1.1, count),
        rng.uniform(0.25, 0.6, count),
        strict=True,
    )
    return tuple((float(x), float(y), float(radius), float(grey)) for x, y, radius, grey in specks)


def _take(place: Place, shot: Shot, noise: Array) -> Picture:
    surface = paint(place.part, place.ground, shot.assembly, shot.board)
    _settle_dust(surface, shot)
    return optics.photograph(surface, shot.camera, noise)


def _settle_dust(surface: Canvas, shot: Shot) -> None:
    for x, y, radius, grey in shot.dust:
        surface.disc(shot.board.at(x, y), radius, radius, Material((grey, grey, grey * 0.95), 0.0))
