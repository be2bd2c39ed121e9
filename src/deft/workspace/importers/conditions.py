"""Six imaging conditions for binarised boards: what a camera on a line would have made of them.

Golden and test picture share the board's colours; only the test is displaced, over- or under-etched,
unevenly lit, blurred, noisy and dusty (research/engine.md section 1). Without this, a plain difference solves
the data.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from deft.workspace.drawing.blur import Field, gaussian_blur

CROP = 64
WINDOW = 96

Colour = tuple[float, float, float]
Picture = npt.NDArray[np.uint8]
Range = tuple[float, float]


@dataclass(frozen=True)
class Condition:
    """One line: its board colours (display units 0..1), its light and its camera."""

    name: str
    substrate: Colour
    copper: Colour
    exposure: float = 1.0
    noise: Range = (2.0, 5.0)
    blur: Range = (0.5, 1.0)
    emboss: float = 0.10
    gradient: float = 0.15
    glare: bool = False


CONDITIONS = {
    condition.name: condition
    for condition in (
        Condition("green_white", (0.10, 0.34, 0.18), (0.40, 0.66, 0.40)),
        Condition("green_warm", (0.16, 0.33, 0.11), (0.60, 0.62, 0.27), exposure=0.95),
        Condition("blue_side", (0.07, 0.15, 0.40), (0.36, 0.50, 0.76), emboss=0.30, gradient=0.35),
        Condition("red_lowlight", (0.38, 0.09, 0.09), (0.76, 0.40, 0.30), exposure=0.55, noise=(5.0, 8.0)),
        Condition("black_glare", (0.09, 0.09, 0.10), (0.44, 0.40, 0.33), emboss=0.18, glare=True),
        Condition("green_defocus", (0.10, 0.33, 0.19), (0.38, 0.62, 0.40), blur=(1.6, 2.3)),
    )
}


@dataclass(frozen=True)
class BoardLook:
    """One board under one condition: colours that its golden and its test pictures share."""

    condition: Condition
    substrate: Colour
    copper: Colour
    weave: float


@dataclass(frozen=True)
class Shot:
    """How one test picture strays from its golden; written to the provenance."""

    rotation_deg: float
    scale: float
    shift_x: float
    shift_y: float
    etch: float
    gain: float
    gamma: float
    gradient: float
    blur: float
    noise: float
    dust: int

    def record(self) -> dict[str, float]:
        """Return the figures, rounded, one a column."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def draw_look(rng: np.random.Generator, condition: Condition) -> BoardLook:
    """Draw one board's colours around its condition's."""
    jitter = rng.normal(0, 0.03, 6)
    colours = np.clip(np.asarray(condition.substrate + condition.copper) + jitter, 0.02, 0.95)
    low, high = colours[:3].tolist(), colours[3:].tolist()
    return BoardLook(
        condition, (low[0], low[1], low[2]), (high[0], high[1], high[2]), float(rng.uniform(0.01, 0.05))
    )


def draw_shot(rng: np.random.Generator, condition: Condition) -> Shot:
    """Draw the tolerances of one test picture."""
    return Shot(
        rotation_deg=float(rng.uniform(-2.5, 2.5)),
        scale=float(rng.uniform(0.97, 1.03)),
        shift_x=float(rng.uniform(-2.5, 2.5)),
        shift_y=float(rng.uniform(-2.5, 2.5)),
        etch=float(rng.uniform(-0.18, 0.18)),
        gain=float(rng.uniform(0.88, 1.12)),
        gamma=float(rng.uniform(0.8, 1.25)),
        gradient=float(rng.uniform(0, condition.gradient)),
        blur=float(rng.uniform(*condition.blur)),
        noise=float(rng.uniform(*condition.noise)),
        dust=int(rng.integers(1, 4)) if rng.random() < 0.25 else 0,
    )


# --- pictures --------------------------------------------------------------------------------


def golden_picture(copper: npt.NDArray[np.bool_], look: BoardLook) -> Picture:
    """Photograph a golden crop: (64, 64) copper or not, in the board's colours, nothing disturbed."""
    mask = _etched(copper.astype(np.float32), 0.0)
    scene = _colour(mask, look) * np.float32(look.condition.exposure)
    return _levels(gaussian_blur(scene, 0.6))


def inspected_picture(
    rng: np.random.Generator, copper: npt.NDArray[np.bool_], look: BoardLook, shot: Shot
) -> Picture:
    """Photograph a test crop from its (96, 96) window of copper or not, through one shot's tolerances."""
    condition = look.condition
    mask = _etched(_warp(copper.astype(np.float32), shot), shot.etch)
    scene = _colour(mask, look)
    scene *= (1 + look.weave * _weave(rng) * (1 - mask))[..., None]
    scene *= (np.float32(condition.exposure * shot.gain) * _illumination(rng, shot))[..., None]
    if condition.glare and rng.random() < 0.6:
        _add_glare(rng, scene)
    _add_dust(rng, scene, shot.dust)
    scene = gaussian_blur(np.clip(scene, 0, 1) ** np.float32(shot.gamma), shot.blur)
    noise = rng.standard_normal((CROP, CROP, 3), dtype=np.float32)
    return _levels(scene + noise * np.float32(shot.noise / 255))


def _levels(scene: Field) -> Picture:
    levels: Picture = np.clip(scene * 255 + np.float32(0.5), 0, 255).astype(np.uint8)
    return levels


def _etched(copper: Field, etch: float) -> Field:
    """Return copper coverage 0..1 after an etch that ate more (etch > 0) or less."""
    soft = gaussian_blur(copper, 1.0)
    mask: Field = np.clip((soft - np.float32(0.5 + etch)) / np.float32(0.45) + np.float32(0.5), 0, 1)
    return mask


def _colour(mask: Field, look: BoardLook) -> Field:
    """Return the picture of a coverage map with its raised edges lit from the upper left."""
    substrate, copper = np.asarray(look.substrate, np.float32), np.asarray(look.copper, np.float32)
    scene: Field = substrate + mask[..., None] * (copper - substrate)
    edge = np.zeros_like(mask)
    edge[1:-1, 1:-1] = mask[2:, 2:] - mask[:-2, :-2]
    scene += np.float32(look.condition.emboss) * edge[..., None]
    return scene


_OFFSET = np.arange(CROP, dtype=np.float32) - np.float32((CROP - 1) / 2)
_DOWN, _RIGHT = np.meshgrid(_OFFSET, _OFFSET, indexing="ij")


def _warp(window: Field, shot: Shot) -> Field:
    """Sample the crop out of its window, turned, scaled and displaced; between pixels linearly."""
    angle = math.radians(shot.rotation_deg)
    cosine, sine = math.cos(angle) / shot.scale, math.sin(angle) / shot.scale
    middle = (WINDOW - 1) / 2
    x = np.float32(middle + shot.shift_x) + np.float32(cosine) * _RIGHT - np.float32(sine) * _DOWN
    y = np.float32(middle + shot.shift_y) + np.float32(sine) * _RIGHT + np.float32(cosine) * _DOWN
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, down = x - left, y - top
    upper = window[top, left] * (1 - right) + window[top, left + 1] * right
    lower = window[top + 1, left] * (1 - right) + window[top + 1, left + 1] * right
    crop: Field = (upper * (1 - down) + lower * down).astype(np.float32)
    return crop


def _weave(rng: np.random.Generator) -> Field:
    """Return the glass fibre's texture, -1..1."""
    period, phase = rng.uniform(3.0, 5.0, 2), rng.uniform(0, 2 * math.pi, 2)
    across = np.sin(_OFFSET * np.float32(2 * math.pi / period[0]) + np.float32(phase[0]))
    along = np.sin(_OFFSET * np.float32(2 * math.pi / period[1]) + np.float32(phase[1]))
    texture: Field = along[:, None] * across[None, :]
    return texture


def _illumination(rng: np.random.Generator, shot: Shot) -> Field:
    """Return the light's fall from one side of the picture to the other, around one."""
    azimuth = rng.uniform(0, 2 * math.pi)
    slope = np.float32(math.cos(azimuth)) * _RIGHT + np.float32(math.sin(azimuth)) * _DOWN
    light: Field = 1 + slope * np.float32(shot.gradient / CROP)
    return light


def _add_glare(rng: np.random.Generator, scene: Field) -> None:
    x, y = rng.uniform(-28, 28, 2)
    radius, strength = rng.uniform(6, 14), rng.uniform(0.12, 0.35)
    distance = (_RIGHT - np.float32(x)) ** 2 + (_DOWN - np.float32(y)) ** 2
    scene += (np.float32(strength) * np.exp(-distance / np.float32(2 * radius * radius)))[..., None]


def _add_dust(rng: np.random.Generator, scene: Field, specks: int) -> None:
    """Lay down harmless specks: at most three pixels wide, fainter than copper or a hole."""
    for _ in range(specks):
        x, y = rng.uniform(-30, 30, 2)
        radius, grey = rng.uniform(0.5, 1.2), rng.uniform(-0.10, 0.12)
        distance = np.sqrt((_RIGHT - np.float32(x)) ** 2 + (_DOWN - np.float32(y)) ** 2)
        scene += (np.float32(grey) * np.clip(np.float32(radius + 0.5) - distance, 0, 1))[..., None]
