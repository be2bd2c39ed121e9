"""Parts and their surroundings fit the picture and carry what their kind has."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deft.workspace.drawing.parts import KINDS, LEADED, MASKS, draw_ground, draw_part

PINS = {"chip_r": 2, "chip_c": 2, "led": 2, "sot23": 3, "soic": 8}


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_with_its_pads_fits_the_picture(kind: str) -> None:
    for seed in range(30):
        part = draw_part(np.random.default_rng(seed), kind)
        assert part.pins == PINS[kind]
        for joint in part.joints:
            end = (
                joint.x + joint.pad_reach * math.cos(joint.outward),
                joint.y + joint.pad_reach * math.sin(joint.outward),
            )
            assert max(map(abs, end)) < 31


@pytest.mark.parametrize("kind", LEADED)
def test_pads_of_neighbouring_leads_do_not_touch(kind: str) -> None:
    part = draw_part(np.random.default_rng(0), kind)
    upper = sorted(joint.x for joint in part.joints if joint.y > 0)
    assert min(np.diff(upper)) > 2 * part.joints[0].pad_half_width


def test_parts_differ_in_size_and_orientation() -> None:
    parts = [draw_part(np.random.default_rng(seed), "chip_r") for seed in range(30)]
    assert len({part.orientation for part in parts}) == 4
    assert len({round(part.half_length, 2) for part in parts}) > 20
    assert len({part.marking for part in parts}) > 20


def test_every_joint_has_a_track_and_vias_stay_clear_of_the_part() -> None:
    rng = np.random.default_rng(0)
    part = draw_part(rng, "soic")
    for mask in MASKS:
        ground = draw_ground(rng, mask, "gold", part)
        assert len(ground.tracks) >= part.pins
        assert all(math.hypot(x, y) > 34 for x, y in ground.vias)
        assert ground.track_material.colour != ground.mask_material.colour
