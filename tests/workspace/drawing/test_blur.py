"""Blurs keep the sum of a picture's middle and repeat its edges."""

from __future__ import annotations

import numpy as np
import pytest

from deft.workspace.drawing.blur import box_blur, gaussian_blur


def spot() -> np.ndarray:
    field = np.zeros((21, 25), np.float32)
    field[10, 12] = 1
    return field


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_a_spot_spreads_evenly_and_loses_nothing(sigma: float) -> None:
    blurred = gaussian_blur(spot(), sigma)
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    assert blurred == pytest.approx(blurred[::-1, ::-1], abs=1e-7)
    spread = np.sqrt((blurred.sum(axis=0) * (np.arange(25) - 12) ** 2).sum())
    assert spread == pytest.approx(sigma, rel=0.2)


def test_an_even_picture_stays_even_up_to_its_edges() -> None:
    even = np.full((9, 9, 3), 0.3, np.float32)
    assert gaussian_blur(even, 1.5) == pytest.approx(even, abs=1e-6)
    assert box_blur(even[..., 0]) == pytest.approx(even[..., 0], abs=1e-6)


def test_a_box_blur_averages_nine_pixels() -> None:
    assert box_blur(spot())[9:12, 11:14] == pytest.approx(1 / 9)


def test_a_blur_below_a_fifth_of_a_pixel_changes_nothing() -> None:
    assert (gaussian_blur(spot(), 0.1) == spot()).all()
