"""Markings: every letter its own shape, centred, readable the right way round."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from deft.workspace.drawing.canvas import Canvas, Frame, Material
from deft.workspace.drawing.lettering import LETTERS, write

DARK, INK = Material((0.0, 0.0, 0.0), 0.0), Material((1.0, 1.0, 1.0), 0.0)


def written(text: str) -> np.ndarray:
    canvas = Canvas(DARK)
    write(canvas, Frame(), text, 2.0, INK)
    return canvas.albedo[..., 0]


def test_no_two_letters_look_the_same() -> None:
    for first, second in combinations(LETTERS, 2):
        assert np.abs(written(first) - written(second)).max() > 0.5


def test_a_text_is_centred() -> None:
    picture = written("888")
    columns = np.nonzero(picture.max(axis=0) > 0.5)[0]
    assert (columns[0] + columns[-1]) / 2 == pytest.approx(31.5, abs=1)


def test_a_text_is_not_mirrored() -> None:
    picture = written("E")  # its back is on the left
    ink = np.nonzero(picture.max(axis=0) > 0.5)[0]
    assert picture[:, ink[0] + 1].sum() > picture[:, ink[-1] - 1].sum()


def test_no_text_paints_nothing() -> None:
    assert written("").sum() == 0
