"""Decide what a made-up factory builds and inspects: splits, boards, places on them, rows.

The training seed knows three kinds of parts, two lights and five defect types; the KPI set asks for
everything; the pool has what is missing, mostly under the easy lights, as pools do (research/engine.md
section 5). A board is a product: it belongs to one split, has one mask, one pad finish and one light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, cycle, islice

import numpy as np

from deft.workspace.drawing import optics
from deft.workspace.drawing.defects import DEFECTS, defects_of
from deft.workspace.drawing.inspection import Place
from deft.workspace.drawing.parts import FINISHES, KINDS, MASKS, draw_ground, draw_part

PASSES_A_PLACE = 3
PLACES_A_BOARD = 6
QUICK_SHARE = 0.36

EVERY_LIGHT = {name: 1 / len(optics.LIGHTINGS) for name in optics.LIGHTINGS}
MOSTLY_EASY = {"white": 0.40, "warm_dim": 0.30, "ring_rgb": 0.16, "low_angle": 0.14}
SEED_LIGHTS = {"white": 0.6, "warm_dim": 0.4}
SEED_KINDS = ("chip_r", "chip_c", "sot23")
SEED_DEFECTS = ("missing", "shift", "tombstone", "bridge", "excess")
DESIGNATORS = {"chip_r": "R", "chip_c": "C", "sot23": "Q", "soic": "U", "led": "D"}


@dataclass(frozen=True)
class Split:
    """One side of the workspace: how many good and defective rows, of what, under which lights."""

    name: str
    good: int
    defective: int
    kinds: tuple[str, ...] = KINDS
    defects: tuple[str, ...] = tuple(DEFECTS)
    lights: Mapping[str, float] = field(default_factory=lambda: EVERY_LIGHT)

    def scaled(self, share: float) -> Split:
        """Return the split with a share of its rows."""
        return replace(self, good=round(self.good * share), defective=round(self.defective * share))


SYNTHETIC = "synthetic"
SPLITS = (
    Split("train", 240, 110, SEED_KINDS, SEED_DEFECTS, SEED_LIGHTS),
    Split("validation", 215, 85),
    Split("kpi", 500, 200),
    Split("holdout", 360, 140),
    Split("pool", 900, 300, lights=MOSTLY_EASY),
    Split(SYNTHETIC, 0, 300),
)


@dataclass(frozen=True)
class Inspected:
    """One row to be: which unit of which place on which board, and what is wrong with it (None: nothing)."""

    split: str
    board: str
    designator: str
    unit: int
    place: Place
    defect: str | None

    @property
    def folder(self) -> str:
        return f"{self.board}/{self.designator}/unit{self.unit:02d}"

    @property
    def golden_folder(self) -> str:
        return f"golden/{self.board}/{self.designator}"

    @property
    def object_name(self) -> str:
        return self.designator


def plan_factory(seed: int, splits: Sequence[Split]) -> list[Inspected]:
    """Plan every row of every split; boards are numbered through, so none stands on two sides."""
    boards = (f"B{number:04d}" for number in count(1))
    rows: list[Inspected] = []
    for index, split in enumerate(splits):
        rng = np.random.default_rng([seed, index])
        places = _group_into_places(_wishes(rng, split))
        order = rng.permutation(len(places))
        for first in range(0, len(places), PLACES_A_BOARD):
            chosen = [places[i] for i in order[first : first + PLACES_A_BOARD]]
            rows += _plan_board(rng, split, next(boards), chosen)
    return rows


def _wishes(rng: np.random.Generator, split: Split) -> list[tuple[str, str | None]]:
    """Return (kind, defect) of each row in random order; defect types are balanced, kinds drawn evenly."""
    defects: list[str | None] = list(islice(cycle(split.defects), split.defective))
    wishes = [(_kind_with(rng, split, defect), defect) for defect in defects + [None] * split.good]
    return [wishes[i] for i in rng.permutation(len(wishes))]


def _kind_with(rng: np.random.Generator, split: Split, defect: str | None) -> str:
    able = [kind for kind in split.kinds if defect is None or defect in defects_of(kind)]
    return able[int(rng.integers(len(able)))]


def _group_into_places(wishes: Sequence[tuple[str, str | None]]) -> list[list[tuple[str, str | None]]]:
    """Give each place a few units of its kind to inspect."""
    places = []
    for kind in KINDS:
        units = [wish for wish in wishes if wish[0] == kind]
        places += [units[first : first + PASSES_A_PLACE] for first in range(0, len(units), PASSES_A_PLACE)]
    return places


def _plan_board(
    rng: np.random.Generator, split: Split, board: str, places: Sequence[Sequence[tuple[str, str | None]]]
) -> list[Inspected]:
    mask = list(MASKS)[int(rng.integers(len(MASKS)))]
    finish = list(FINISHES)[int(rng.integers(len(FINISHES)))]
    light = str(rng.choice(list(split.lights), p=list(split.lights.values())))
    rows = []
    for number, units in enumerate(places, 1):
        kind = units[0][0]
        part = draw_part(rng, kind)
        place = Place(part, draw_ground(rng, mask, finish, part), light)
        designator = f"{DESIGNATORS[kind]}{number}"
        rows += [
            Inspected(split.name, board, designator, unit, place, defect)
            for unit, (_, defect) in enumerate(units, 1)
        ]
    return rows
