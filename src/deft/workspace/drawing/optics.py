"""Light a surface and photograph it: ring lamps, one key lamp, shadow, blur, noise.

A ring lamp shines from all sides at one elevation, so what it mirrors depends on the slope alone: that is
why `ring_rgb` shows flat metal red, a solder fillet green and a steep edge blue, as inspection machines do.
Sums of lamps stay below one for a white matt surface, and a soft shoulder keeps highlights from clipping.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deft.workspace.drawing.blur import box_blur, gaussian_blur
from deft.workspace.drawing.canvas import SIZE, Array, Canvas, Colour

NOISE_SAMPLES = 1 << 20

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Ring:
    """A ring of lamps at one elevation (degrees); `mirror` widens with the ring's height in the dome."""

    elevation: float
    colour: Colour
    mirror_width: float = 9.0


@dataclass(frozen=True)
class Lighting:
    """What an inspection line illuminates its boards with."""

    name: str
    ambient: Colour
    rings: tuple[Ring, ...]
    key_elevation: float
    key_colour: Colour


LIGHTINGS = {
    lighting.name: lighting
    for lighting in (
        Lighting("white", (0.16, 0.16, 0.17), (Ring(68, (0.5, 0.5, 0.5), 13.0),), 42, (0.30, 0.30, 0.29)),
        Lighting(
            "ring_rgb",
            (0.07, 0.07, 0.08),
            (Ring(78, (0.62, 0.05, 0.06)), Ring(48, (0.06, 0.62, 0.10)), Ring(20, (0.07, 0.12, 0.75), 12.0)),
            50,
            (0.09, 0.08, 0.08),
        ),
        Lighting(
            "low_angle", (0.16, 0.16, 0.18), (Ring(16, (0.74, 0.76, 0.82), 14.0),), 20, (0.52, 0.53, 0.57)
        ),
        Lighting(
            "warm_dim", (0.17, 0.14, 0.10), (Ring(62, (0.50, 0.41, 0.28), 13.0),), 38, (0.34, 0.28, 0.19)
        ),
    )
}


@dataclass(frozen=True)
class Camera:
    """One exposure: what differs from picture to picture of the same part."""

    lighting: Lighting
    exposure: float = 1.0
    balance: Colour = (1.0, 1.0, 1.0)
    key_azimuth: float = 0.8
    blur: float = 0.5
    noise: float = 1.2
    noise_start: int = 0


def photograph(surface: Canvas, camera: Camera, noise_bank: Array) -> Picture:
    """Return the picture of a surface as (64, 64, 3) uint8; `noise_bank` holds unit normal samples."""
    light, mirror = _illuminate(surface, camera)
    scene = surface.albedo * light + surface.gloss[..., None] * mirror
    scene *= np.asarray(camera.balance, np.float32) * np.float32(camera.exposure)
    picture = gaussian_blur(_shoulder(scene), camera.blur)
    count = SIZE * SIZE * 3
    noise = noise_bank[camera.noise_start : camera.noise_start + count].reshape(SIZE, SIZE, 3)
    picture = picture * 255 + noise * np.float32(camera.noise)
    levels: Picture = np.clip(picture + np.float32(0.5), 0, 255).astype(np.uint8)
    return levels


def noise_bank(rng: np.random.Generator) -> Array:
    """Return the unit normal samples that cameras take their noise from."""
    return rng.standard_normal(NOISE_SAMPLES + SIZE * SIZE * 3, dtype=np.float32)


def _illuminate(surface: Canvas, camera: Camera) -> tuple[Array, Array]:
    """Return diffuse light and mirror reflection, (64, 64, 3) each."""
    lighting = camera.lighting
    height = box_blur(surface.height)
    slope_x, slope_y = _slopes(height)
    slope = np.hypot(slope_x, slope_y)
    upright = 1 / np.sqrt(1 + slope * slope)
    open_sky = _open_sky(surface.height)
    lamp, key_mirror = _key_lamp(camera, slope_x, slope_y, upright)
    lamp *= _lit(height, lighting.key_elevation, camera.key_azimuth)
    tilt = np.degrees(np.arctan(slope))
    light: Array = open_sky[..., None] * np.asarray(lighting.ambient, np.float32)
    light += lamp[..., None] * np.asarray(lighting.key_colour, np.float32)
    mirror: Array = key_mirror[..., None] * np.asarray(lighting.key_colour, np.float32)
    for ring in lighting.rings:
        colour = np.asarray(ring.colour, np.float32)
        strength = np.float32(math.sin(math.radians(ring.elevation))) * upright * open_sky
        light += strength[..., None] * colour
        lobe = np.exp(-(((tilt - (90 - ring.elevation) / 2) / np.float32(ring.mirror_width)) ** 2)) * open_sky
        mirror += lobe[..., None] * colour
    return light, mirror


def _key_lamp(camera: Camera, slope_x: Array, slope_y: Array, upright: Array) -> tuple[Array, Array]:
    """Return the diffuse and the mirror strength of the one directional lamp."""
    elevation = math.radians(camera.lighting.key_elevation)
    x = math.cos(elevation) * math.cos(camera.key_azimuth)
    y = math.cos(elevation) * math.sin(camera.key_azimuth)
    z = math.sin(elevation)
    across = slope_x * np.float32(x) + slope_y * np.float32(y)
    facing: Array = np.clip((np.float32(z) - across) * upright, 0, 1)
    norm = math.sqrt(x * x + y * y + (z + 1) ** 2)
    half: Array = np.clip((np.float32(z + 1) - across) * upright / np.float32(norm), 0, 1)
    mirror: Array = half**24
    return facing, mirror


def _slopes(height: Array) -> tuple[Array, Array]:
    padded = np.pad(height, 1, mode="edge")
    along_x: Array = (padded[1:-1, 2:] - padded[1:-1, :-2]) * np.float32(0.5)
    along_y: Array = (padded[2:, 1:-1] - padded[:-2, 1:-1]) * np.float32(0.5)
    return along_x, along_y


def _open_sky(height: Array) -> Array:
    """Return how much of the sky each pixel sees: less beside what is tall."""
    coarse = height.reshape(SIZE // 4, 4, SIZE // 4, 4).mean(axis=(1, 3))
    surround = np.repeat(np.repeat(box_blur(coarse), 4, axis=0), 4, axis=1)
    sky: Array = 1 / (1 + np.float32(0.10) * np.maximum(box_blur(surround) - height, 0))
    return sky


def _lit(height: Array, elevation: float, azimuth: float) -> Array:
    """Return 1 where the key lamp reaches and less in the shadow of what is taller towards the lamp."""
    rise = math.tan(math.radians(elevation))
    shadow = np.zeros_like(height)
    for distance in (2, 4, 7):
        step_x, step_y = round(distance * math.cos(azimuth)), round(distance * math.sin(azimuth))
        taller = np.roll(height, (-step_y, -step_x), axis=(0, 1)) - height - np.float32(distance * rise)
        np.maximum(shadow, taller, out=shadow)
    return 1 - np.float32(0.75) * np.minimum(shadow, 1)


def _shoulder(scene: Array) -> Array:
    """Compress highlights smoothly towards one; values below one half stay nearly as they are."""
    squared = scene * scene
    bounded: Array = scene / np.sqrt(np.sqrt(1 + squared * squared))
    return bounded
