"""Shapes on a canvas: area, place, rotation, height."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deft.workspace.drawing.canvas import Canvas, Frame, Material, box_cover, disc_cover, patch

BLACK, WHITE = Material((0.0, 0.0, 0.0), 0.0), Material((1.0, 1.0, 1.0), 0.5)


def painted(frame: Frame, half_u: float, half_v: float) -> Canvas:
    canvas = Canvas(BLACK)
    canvas.box(frame, half_u, half_v, WHITE, 3.0)
    return canvas


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 2])
def test_a_box_covers_its_area_however_it_is_turned(angle: float) -> None:
    canvas = painted(Frame(0.3, -2.2, angle), 10, 5)
    assert canvas.albedo[..., 0].sum() == pytest.approx(20 * 10, rel=0.03)
    assert canvas.height.max() == pytest.approx(3.0)
    assert canvas.gloss.max() == pytest.approx(0.5)


def test_rounding_takes_the_corners_off() -> None:
    area = patch(Frame(), 20)
    assert box_cover(area, 10, 10, 5).sum() == pytest.approx(400 - (4 - math.pi) * 25, rel=0.02)


def test_a_disc_covers_its_area() -> None:
    assert disc_cover(patch(Frame(), 20), 9, 9).sum() == pytest.approx(math.pi * 81, rel=0.02)


def test_a_box_outside_the_picture_paints_nothing() -> None:
    assert painted(Frame(200, 0), 10, 5).albedo.sum() == 0


def test_a_box_is_clipped_at_the_border() -> None:
    assert painted(Frame(-32, 0), 10, 5).albedo[..., 0].sum() == pytest.approx(105, rel=0.05)


def test_a_frame_within_a_frame_turns_with_it() -> None:
    inner = Frame(1, 2, math.pi / 2).at(3, 0, 0.1)
    assert (inner.x, inner.y, inner.angle) == pytest.approx((1, 5, math.pi / 2 + 0.1))


def test_a_height_may_follow_the_shapes_own_coordinates() -> None:
    canvas = Canvas(BLACK)
    canvas.box(Frame(0, 0, math.pi), 8, 4, WHITE, lambda u, v: u + 8)
    assert canvas.height[32, 26] > canvas.height[32, 37]


def test_a_stencil_keeps_height_and_prints_its_cells() -> None:
    canvas = painted(Frame(), 20, 20)
    canvas.stencil(Frame(0.5, 0.5), np.array([[1, 0], [0, 1]], np.float32), 6, BLACK)
    assert canvas.albedo[29, 29, 0] < 0.1 < 0.9 < canvas.albedo[29, 36, 0]
    assert canvas.height[29, 29] == pytest.approx(3.0)
