"""Smooth pictures and maps with NumPy alone (Pillow blurs no floating point)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]


def gaussian_blur(field: Field, sigma: float) -> Field:
    """Blur (height, width) or (height, width, channels) by a normal kernel; sigma in pixels, edges repeat."""
    if sigma < 0.2:
        return field
    reach = max(1, math.ceil(2.5 * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    return _along(_along(field, taps, 0), taps, 1)


def box_blur(field: Field) -> Field:
    """Average (height, width) over three by three pixels, edges repeat."""
    third = np.full(3, 1 / 3, np.float32)
    return _along(_along(field, third, 0), third, 1)


def _along(field: Field, taps: Field, axis: int) -> Field:
    reach, size = len(taps) // 2, field.shape[axis]
    padded = field.take(np.clip(np.arange(-reach, size + reach), 0, size - 1), axis)
    parts = [padded[k : k + size] if axis == 0 else padded[:, k : k + size] for k in range(len(taps))]
    total: Field = parts[reach] * taps[reach]
    for k in range(reach):
        total += (parts[k] + parts[-1 - k]) * taps[k]
    return total
