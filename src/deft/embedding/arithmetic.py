"""Inner products that are wrong by a known bound: float32 by NumPy, bfloat16 by PyTorch.

bfloat16 keeps eight significant bits. Where the processor multiplies it natively its product takes a third to
a tenth of the time of float32, and PyTorch is loaded for it once the work done so far was worth the loading.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]

SINGLE_ROUNDING, BRAIN_ROUNDING = 2.0**-24, 2.0**-8
WORTH_LOADING = 2**36
"""Multiplications in float32 that take about as long as loading PyTorch."""
PROCESSOR = Path("/proc/cpuinfo")
NATIVE = {"avx512_bf16", "amx_bf16", "bf16"}
"""How Linux calls a processor's native products of bfloat16, on x86 and on ARM."""


class Single:
    """Products in float32."""

    def __init__(self, rows: Matrix) -> None:
        self._rows = rows

    def products(self, others: Matrix) -> Matrix:
        """Return the inner products (n, others)."""
        return self._rows @ others.T

    def error(self) -> float:
        """Return the bound of a sum that is rounded at every step, in whatever order."""
        return 1.01 * SINGLE_ROUNDING * (int(self._rows.shape[1]) + 16)


class Brain:
    """Products in bfloat16, summed in float32; `others` must be arrays that may be written to."""

    def __init__(self, rows: Matrix) -> None:
        import torch

        self._torch = torch
        self._rows = self._bfloat(rows)
        self._sum_error = 2 * Single(rows).error()

    def _bfloat(self, values: npt.NDArray[Any]) -> Any:
        return self._torch.from_numpy(values).bfloat16()

    def products(self, others: Matrix) -> Any:
        """Return the inner products (n, others) as a tensor."""
        return self._rows @ self._bfloat(others).T

    def places(self, others: Matrix, offsets: Matrix, lowest: Matrix) -> npt.NDArray[np.int64]:
        """Return the places, in (n, others), whose product less its offset reaches `lowest` (n)."""
        products = self.products(others)
        if offsets.any() or lowest.min() <= 0:
            return np.flatnonzero(products.float().numpy() - offsets >= lowest[:, None])
        # not rounded up; and from 0 on the bits of bfloat16, read as whole numbers, are in the same order
        below = self._bfloat(lowest - BRAIN_ROUNDING * lowest)
        whole = self._torch.int16
        return np.flatnonzero(products.view(whole).numpy() >= below.view(whole).numpy()[:, None])

    def error(self) -> float:
        """Return the bound of two rounded factors, their sum in float32, and the rounded result."""
        return float((1 + BRAIN_ROUNDING) ** 3 - 1 + self._sum_error)


def brain_pays(multiplications: int) -> bool:
    """Say whether to go on in bfloat16 after so many multiplications in float32.

    The processor has to multiply bfloat16 natively, and PyTorch to be loaded already or worth loading.
    """
    if not has_native_bfloat16() or ("torch" not in sys.modules and multiplications < WORTH_LOADING):
        return False
    try:
        import torch  # noqa: F401 - the question is whether it can be
    except ImportError:
        return False
    return True


@cache
def has_native_bfloat16() -> bool:
    """Say whether the processor multiplies bfloat16 natively; nothing is loaded to know."""
    try:
        return not NATIVE.isdisjoint(PROCESSOR.read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return False
