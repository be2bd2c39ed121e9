"""The painted surface shows how a part was assembled: heights, bare pads, bridges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deft.workspace.drawing.assembly import Assembly, golden_assembly, paint
from deft.workspace.drawing.canvas import CENTRE, Canvas, Frame
from deft.workspace.drawing.parts import KINDS, Ground, Joint, Part, draw_ground, draw_part


def built(kind: str) -> tuple[Part, Ground]:
    rng = np.random.default_rng(0)
    part = replace(draw_part(rng, kind), orientation=0)
    return part, draw_ground(rng, "green", "gold", part)


def surface(kind: str, **changes: object) -> Canvas:
    part, ground = built(kind)
    assembly: Assembly = replace(golden_assembly(part), **changes)  # type: ignore[arg-type]
    return paint(part, ground, assembly, Frame())


def at(canvas: Canvas, x: float, y: float) -> tuple[int, int]:
    return round(y + CENTRE), round(x + CENTRE)


def fillet(joint: Joint, share: float) -> tuple[float, float]:
    frame = joint.frame(Frame()).at(joint.pad_reach * share, 0)
    return frame.x, frame.y


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_part_leaves_a_low_surface(kind: str) -> None:
    assert surface(kind).height.max() > 3.5
    assert surface(kind, present=False).height.max() < 3.0


def test_a_fillet_falls_from_the_terminal_to_the_pads_end() -> None:
    part, _ = built("chip_c")
    canvas = surface("chip_c")
    near, far = (canvas.height[at(canvas, *fillet(part.joints[0], share))] for share in (0.2, 0.8))
    assert near > far + 1


def test_a_dry_joint_shows_the_pads_metal() -> None:
    part, ground = built("sot23")
    canvas = surface("sot23", solder=(0.0, 1.0, 1.0))
    dry, wet = (canvas.albedo[at(canvas, *fillet(joint, 0.5))] for joint in part.joints[:2])
    assert dry == pytest.approx(ground.pad_material.colour, abs=0.02)
    assert np.ptp(wet) < 0.1 < np.ptp(dry)


def test_too_much_solder_swells_above_the_terminal_and_past_the_pad() -> None:
    part, _ = built("chip_r")
    normal, swollen = surface("chip_r"), surface("chip_r", solder=(2.4, 1.0))
    past = at(normal, *fillet(part.joints[0], 1.25))
    assert swollen.height[past] > normal.height[past] + 1
    assert swollen.height.max() > normal.height.max()


def test_a_bridge_lies_between_its_joints() -> None:
    part, _ = built("soic")
    first, second = part.joints[0], part.joints[1]
    middle = ((first.x + second.x) / 2, first.y + 0.35 * first.pad_reach)
    normal, bridged = surface("soic"), surface("soic", bridge=(0, 1))
    assert bridged.height[at(normal, *middle)] > normal.height[at(normal, *middle)] + 2


def test_a_tombstone_towers_over_one_pad_and_bares_the_other() -> None:
    part, _ = built("chip_r")
    normal, standing = surface("chip_r"), surface("chip_r", standing=0)
    assert standing.height.max() > 2 * normal.height.max()
    other = at(normal, part.joints[1].x * 0.5, 0)
    assert standing.height[other] < normal.height[other] - 2


def test_a_reversed_led_swaps_its_cathode_mark() -> None:
    part, _ = built("led")
    mark = part.half_length * 0.52 - 1.2
    normal, reversed_ = surface("led"), surface("led", reversed=True)
    left, right = at(normal, -mark, 0), at(normal, mark, 0)
    assert normal.albedo[left] == pytest.approx(reversed_.albedo[right], abs=0.15)
    assert normal.albedo[left][1] > normal.albedo[left][0] + 0.2


def test_a_lifted_lead_stands_above_a_dry_pad() -> None:
    dry = (0.0,) + (1.0,) * 7
    assert (
        surface("soic", solder=dry, lifted=0, bend=2.0).height[44:].max() > surface("soic").height[44:].max()
    )


def test_an_offset_moves_the_part_but_not_its_pads() -> None:
    part, _ = built("chip_c")
    moved, normal = surface("chip_c", offset=(0.0, 6.0)), surface("chip_c")
    assert moved.height[at(normal, 0, part.half_width + 4)] > 5
    assert normal.height[at(normal, 0, part.half_width + 4)] < 1
    pad_end = at(normal, *fillet(part.joints[0], 0.9))
    assert moved.albedo[pad_end] == pytest.approx(normal.albedo[pad_end], abs=0.05)
