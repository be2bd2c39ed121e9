"""Photograph the crops of binarised boards and file the pictures of a workspace under construction."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from deft.workspace.construction import CAMERA, encode_image, images_folder, place_image
from deft.workspace.importers import conditions
from deft.workspace.importers.conditions import CONDITIONS, CROP, WINDOW, BoardLook, Picture
from deft.workspace.importers.crops import Cut, Mask
from deft.workspace.importers.template_defects import draw_defect
from deft.workspace.layout import Workspace

BINARISED = "binarised"
_MIDDLE = slice((WINDOW - CROP) // 2, (WINDOW + CROP) // 2)


@dataclass
class Darkroom:
    """Where pictures are made: one look a board, so that golden and test pictures share its colours."""

    workspace: Workspace
    seed: int
    realistic: bool
    _looks: dict[str, BoardLook] = field(default_factory=dict)

    def file_row(
        self, rng: np.random.Generator, split: str, piece: Cut, condition: str, name: str
    ) -> dict[str, object]:
        """File golden and test picture of one row; return its condition and the test's tolerances."""
        look = self._look(piece.board, condition)
        picture, shot = self._inspected(rng, piece.test, look)
        images = images_folder(self.workspace, split)
        file_name = f"{name}_{CAMERA}.jpg"
        place_image(
            images / "golden" / piece.board / name / file_name, encode_image(self._golden(piece, look))
        )
        place_image(images / piece.board / name / file_name, encode_image(picture))
        return shot

    def file_synthetic_pair(
        self, rng: np.random.Generator, piece: Cut, defect: str, number: int
    ) -> dict[str, object] | None:
        """Draw a defect on a template and file the pair `<id>+<defect>_<n>`; None where none fits."""
        drawn = draw_defect(rng, piece.golden, defect)
        if drawn is None:
            return None
        condition = list(CONDITIONS)[int(rng.integers(len(CONDITIONS)))]
        look = conditions.draw_look(rng, CONDITIONS[condition])
        picture, shot = self._inspected(rng, drawn, look)
        stem = f"{piece.board}+{defect}_{number}"
        place_image(self.workspace.reconstructed_images / f"{stem}.png", encode_image(picture, "PNG"))
        place_image(self.workspace.original_images / f"{stem}.jpg", encode_image(self._golden(piece, look)))
        return {"component": stem, **shot}

    def _look(self, board: str, condition: str) -> BoardLook:
        if board not in self._looks:
            rng = np.random.default_rng([self.seed, 3, len(self._looks)])
            self._looks[board] = conditions.draw_look(rng, CONDITIONS[condition])
        return self._looks[board]

    def _golden(self, piece: Cut, look: BoardLook) -> Picture:
        crop = piece.golden[_MIDDLE, _MIDDLE]
        return conditions.golden_picture(crop, look) if self.realistic else _black_and_white(crop)

    def _inspected(
        self, rng: np.random.Generator, window: Mask, look: BoardLook
    ) -> tuple[Picture, dict[str, object]]:
        if not self.realistic:
            return _black_and_white(window[_MIDDLE, _MIDDLE]), {"condition": BINARISED}
        shot = conditions.draw_shot(rng, look.condition)
        record = {"condition": look.condition.name, **shot.record()}
        return conditions.inspected_picture(rng, window, look, shot), record


def _black_and_white(copper: Mask) -> Picture:
    """Return copper in black on white, as DeepPCB is published."""
    grey = np.where(copper, np.uint8(0), np.uint8(255))
    return np.repeat(grey[..., None], 3, axis=2)
