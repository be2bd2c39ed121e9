"""Markings on parts, in a font of three by five cells: no font file, so the same picture everywhere."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from deft.workspace.drawing.canvas import Array, Canvas, Frame, Material

_ROWS = {
    "0": "### #.# #.# #.# ###",
    "1": ".#. ##. .#. .#. ###",
    "2": "### ..# ### #.. ###",
    "3": "### ..# .## ..# ###",
    "4": "#.# #.# ### ..# ..#",
    "5": "### #.. ### ..# ###",
    "6": "### #.. ### #.# ###",
    "7": "### ..# .#. .#. .#.",
    "8": "### #.# ### #.# ###",
    "9": "### #.# ### ..# ###",
    "A": ".#. #.# ### #.# #.#",
    "E": "### #.. ##. #.. ###",
    "K": "#.# ##. #.. ##. #.#",
    "R": "##. #.# ##. #.# #.#",
    "T": "### .#. .#. .#. .#.",
    "W": "#.# #.# #.# ### #.#",
}
LETTERS = "".join(_ROWS)


def write(canvas: Canvas, frame: Frame, text: str, scale: float, ink: Material) -> None:
    """Print a text centred on a frame, `scale` pixels a cell."""
    if text:
        canvas.stencil(frame, _bitmap(text), scale, ink)


@lru_cache(maxsize=4096)
def _bitmap(text: str) -> Array:
    """Return a text as cells (5, 4 * letters - 1) of 0 and 1."""
    glyphs = [[[cell == "#" for cell in row] + [False] for row in _ROWS[letter].split()] for letter in text]
    return np.concatenate([np.asarray(glyph, np.float32) for glyph in glyphs], axis=1)[:, :-1]
