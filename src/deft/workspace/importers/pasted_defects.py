"""Make stand-in defects for a pool without pre-generated pairs: a patch of a good part pasted elsewhere.

They look like no particular defect; they show the model that something foreign on a part is wrong. Real
pre-generated pairs should replace them (`deft import folders --pregenerated`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]

DEFECT = "pasted"
SIDE_SHARE = (0.10, 0.25)
LEAST_SIDE = 4
CONTRAST_LIMIT = 24
VISIBLE_SHARE = 0.25
ATTEMPTS = 50


def paste_patch(rng: np.random.Generator, picture: Picture) -> Picture | None:
    """Return a (height, width, 3) picture with one of its own patches pasted elsewhere, turned by chance.

    At least a quarter of the patch differs by 24 levels or more from what it covers; None where a picture is
    so even that no patch does.
    """
    height, width = picture.shape[:2]
    for _ in range(ATTEMPTS):
        side = max(LEAST_SIDE, round(rng.uniform(*SIDE_SHARE) * min(height, width)))
        if side >= min(height, width):
            return None
        rows, columns = rng.integers(0, height - side + 1, 2), rng.integers(0, width - side + 1, 2)
        patch = np.rot90(_square(picture, rows[0], columns[0], side), int(rng.integers(4)))
        covered = _square(picture, rows[1], columns[1], side)
        differs = np.abs(patch.astype(np.int16) - covered).max(axis=2) >= CONTRAST_LIMIT
        if differs.mean() >= VISIBLE_SHARE:
            pasted = picture.copy()
            _square(pasted, rows[1], columns[1], side)[:] = patch
            return pasted
    return None


def _square(picture: Picture, row: int, column: int, side: int) -> Picture:
    return picture[row : row + side, column : column + side]
