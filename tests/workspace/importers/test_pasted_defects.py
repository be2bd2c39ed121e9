"""Stand-in defects: a visible patch, nothing else changed."""

from __future__ import annotations

import numpy as np

from deft.workspace.importers.pasted_defects import CONTRAST_LIMIT, paste_patch


def test_a_pasted_patch_is_visible_small_and_the_rest_stays() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    before = picture.copy()
    pasted = paste_patch(np.random.default_rng(1), picture)
    assert pasted is not None
    assert (picture == before).all()
    changed = np.abs(pasted.astype(int) - picture).max(axis=2) >= CONTRAST_LIMIT
    rows, columns = np.nonzero(changed)
    assert changed.sum() >= 9
    assert max(np.ptp(rows), np.ptp(columns)) <= 16


def test_an_even_picture_takes_no_patch() -> None:
    assert paste_patch(np.random.default_rng(0), np.full((64, 64, 3), 90, np.uint8)) is None


def test_a_picture_too_small_for_a_patch_takes_none() -> None:
    assert paste_patch(np.random.default_rng(0), np.zeros((3, 3, 3), np.uint8)) is None
