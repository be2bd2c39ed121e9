"""Light: ring lamps show slope as colour, tall parts throw shadows, highlights do not clip."""

from __future__ import annotations

import numpy as np
import pytest

from deft.workspace.drawing import optics
from deft.workspace.drawing.canvas import SIZE, Canvas, Material
from deft.workspace.drawing.optics import LIGHTINGS, Camera, photograph

NOISE = np.zeros(optics.NOISE_SAMPLES + SIZE * SIZE * 3, np.float32)
MIRROR = Material((0.1, 0.1, 0.1), 1.0)
MATT = Material((0.5, 0.5, 0.5), 0.0)


def ramp(slope: float, material: Material = MIRROR) -> Canvas:
    canvas = Canvas(material)
    canvas.height += np.arange(SIZE, dtype=np.float32)[:, None] * np.float32(slope)
    return canvas


@pytest.mark.parametrize(("degrees", "channel"), [(6, 0), (21, 1), (35, 2)])
def test_the_colour_ring_shows_flat_red_sloped_green_and_steep_blue(degrees: float, channel: int) -> None:
    surface = ramp(np.tan(np.radians(degrees)))
    centre = photograph(surface, Camera(LIGHTINGS["ring_rgb"]), NOISE)[28:36, 28:36].mean(axis=(0, 1))
    assert int(centre.argmax()) == channel


def test_a_tall_part_shadows_the_board_on_the_side_away_from_the_lamp() -> None:
    canvas = Canvas(MATT)
    canvas.height[24:40, 24:40] = 10
    picture = photograph(canvas, Camera(LIGHTINGS["low_angle"], key_azimuth=0.0), NOISE).astype(int)
    assert picture[32, 20].sum() < picture[32, 44].sum() - 60


@pytest.mark.parametrize("name", LIGHTINGS)
def test_a_white_matt_surface_stays_below_full_scale(name: str) -> None:
    surface = Canvas(Material((1.0, 1.0, 1.0), 0.0))
    assert photograph(surface, Camera(LIGHTINGS[name]), NOISE).max() < 255


def test_exposure_brightens_and_blur_softens_an_edge() -> None:
    surface = Canvas(MATT)
    surface.albedo[:, 32:] = 0.05
    plain, bright, soft = (
        photograph(surface, Camera(LIGHTINGS["white"], **change), NOISE).astype(int)
        for change in ({"blur": 0.0}, {"blur": 0.0, "exposure": 1.2}, {"blur": 1.2})
    )
    assert bright[10, 10, 0] > plain[10, 10, 0]
    assert abs(soft[10, 31, 0] - soft[10, 32, 0]) < abs(plain[10, 31, 0] - plain[10, 32, 0])
