"""Defects change an assembly in the one way that their name says."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from deft.workspace.drawing.assembly import OVERFILLED, WETTED, Assembly, golden_assembly
from deft.workspace.drawing.defects import DEFECTS, apply_defect
from deft.workspace.drawing.parts import draw_part

CHANGES = {
    "missing": {"present"},
    "shift": {"offset"},
    "rotated": {"turn"},
    "tombstone": {"standing"},
    "insufficient": {"solder"},
    "excess": {"solder"},
    "bridge": {"bridge", "bridge_width"},
    "polarity": {"reversed"},
    "lifted": {"solder", "lifted", "bend"},
}


def spoilt(kind: str, defect: str, seed: int = 0) -> tuple[Assembly, Assembly]:
    part = draw_part(np.random.default_rng(seed), kind)
    good = golden_assembly(part)
    return good, apply_defect(np.random.default_rng(seed), part, good, defect)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_changes_what_it_is_about_and_nothing_else(defect: str) -> None:
    for kind in DEFECTS[defect][0]:
        good, bad = spoilt(kind, defect)
        changed = {name for name in vars(good) if getattr(good, name) != getattr(bad, name)}
        assert changed == CHANGES[defect]
        assert replace(bad, **{name: getattr(good, name) for name in changed}) == good


@pytest.mark.parametrize("seed", range(10))
def test_defects_are_beyond_every_tolerance(seed: int) -> None:
    assert math.hypot(*spoilt("led", "shift", seed)[1].offset) >= 3.2
    assert abs(math.degrees(spoilt("led", "rotated", seed)[1].turn)) >= 9
    assert min(spoilt("led", "insufficient", seed)[1].solder) < WETTED
    assert max(spoilt("led", "excess", seed)[1].solder) > OVERFILLED


@pytest.mark.parametrize("seed", range(10))
def test_a_bridge_joins_neighbours_on_one_side(seed: int) -> None:
    part = draw_part(np.random.default_rng(seed), "soic")
    _, bad = spoilt("soic", "bridge", seed)
    assert bad.bridge is not None
    first, second = (part.joints[index] for index in bad.bridge)
    assert first.y == second.y
    assert abs(first.x - second.x) < 10


@pytest.mark.parametrize("seed", range(10))
def test_a_lifted_lead_leaves_its_pad_dry(seed: int) -> None:
    _, bad = spoilt("soic", "lifted", seed)
    assert bad.lifted is not None
    assert bad.solder[bad.lifted] < WETTED
    assert sum(amount < WETTED for amount in bad.solder) == 1
