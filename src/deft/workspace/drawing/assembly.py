"""Lay a part on its board the way it was assembled, well or badly, and paint the resulting surface."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from deft.workspace.drawing.canvas import Array, Canvas, Frame, Material, Profile, box_cover, patch
from deft.workspace.drawing.lettering import write
from deft.workspace.drawing.parts import LEADED, Ground, Joint, Part

SOLDER = Material((0.60, 0.61, 0.63), 0.62)
TIN = Material((0.66, 0.66, 0.65), 0.45)
INK = Material((0.78, 0.78, 0.74), 0.03)
SILK = Material((0.80, 0.80, 0.77), 0.03)
HOLE = Material((0.03, 0.03, 0.03), 0.0)
LENS = Material((0.90, 0.80, 0.34), 0.35)
CATHODE = Material((0.10, 0.42, 0.20), 0.05)

WETTED = 0.25
UNDER_TERMINAL = 3.0
OVERFILLED = 1.4
LEAD_HALF_WIDTH = 1.8


@dataclass(frozen=True)
class Assembly:
    """How a part was placed and soldered; the default is the golden one.

    `offset` and `turn` displace the part from its pads (pixels, radians); `solder` is the amount at each
    joint, 1 is right; `bridge` joins two joints; `standing` is the joint a tombstone stands on; `lifted` is
    the lead that does not touch its pad, bent aside by `bend` pixels.
    """

    solder: tuple[float, ...]
    offset: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    present: bool = True
    reversed: bool = False
    standing: int | None = None
    lifted: int | None = None
    bend: float = 0.0
    bridge: tuple[int, int] | None = None
    bridge_width: float = 2.4


def golden_assembly(part: Part) -> Assembly:
    """Return the assembly with nothing wrong."""
    return Assembly(solder=(1.0,) * part.pins)


def paint(part: Part, ground: Ground, assembly: Assembly, board: Frame) -> Canvas:
    """Paint the surface of a part on its board; `board` is where the camera sees the part's place."""
    canvas = Canvas(ground.mask_material)
    site = board.at(0.0, 0.0, part.angle)
    _paint_ground(canvas, part, ground, site)
    for joint, amount in zip(part.joints, assembly.solder, strict=True):
        _paint_joint(canvas, joint.frame(site), joint, amount, assembly.present)
    if assembly.present:
        placed = site.at(*assembly.offset, assembly.turn + (math.pi if assembly.reversed else 0.0))
        _paint_part(canvas, part, assembly, placed)
    for joint, amount in zip(part.joints, assembly.solder, strict=True):
        if amount > OVERFILLED and assembly.present:
            _paint_blob(canvas, joint.frame(site), joint, amount)
    if assembly.bridge is not None:
        _paint_bridge(canvas, part, assembly, site)
    return canvas


# --- the board -------------------------------------------------------------------------------


def _paint_ground(canvas: Canvas, part: Part, ground: Ground, site: Frame) -> None:
    for x, y, angle, half_width in ground.tracks:
        canvas.box(site.at(x, y, angle).at(40.0, 0.0), 40.0, half_width, ground.track_material, 0.5)
    for x, y in ground.vias:
        canvas.disc(site.at(x, y), 2.6, 2.6, ground.pad_material, 0.4)
        canvas.disc(site.at(x, y), 1.2, 1.2, HOLE, -1.0)
    if ground.silk:
        _paint_silk(canvas, part, site)
    for joint in part.joints:
        inner = 4.0 if part.kind not in LEADED else 5.0
        half = (joint.pad_reach + inner) / 2
        middle = joint.frame(site).at(half - inner, 0.0)
        canvas.box(middle, half, joint.pad_half_width, ground.pad_material, 0.4, corner=0.8)


def _paint_silk(canvas: Canvas, part: Part, site: Frame) -> None:
    if part.kind in LEADED:
        canvas.disc(site.at(-part.half_length - 5.0, part.half_width + 3.0), 1.5, 1.5, SILK)
        return
    for side in (-1, 1):
        canvas.box(site.at(0.0, side * (part.half_width + 3.5)), part.half_length * 0.55, 0.7, SILK)


# --- solder ----------------------------------------------------------------------------------


def _paint_joint(canvas: Canvas, frame: Frame, joint: Joint, amount: float, wets_terminal: bool) -> None:
    """Paint a fillet that climbs the terminal, a flat cushion where no part came, or bare metal."""
    if amount < WETTED:
        return
    reach = joint.pad_reach * min(1.0, 0.62 + 0.30 * amount)
    half_v = joint.pad_half_width * min(1.0, 0.72 + 0.22 * amount)
    area = patch(frame, math.hypot(reach, half_v) + UNDER_TERMINAL)
    along = np.clip(area.u / np.float32(reach), 0, 1)
    crown = 1 - np.clip(np.abs(area.v) / np.float32(half_v), 0, 1) ** 2
    if wets_terminal:
        height = (
            np.float32(4.2 * amount**0.6) * (1 - along) ** 2 * (np.float32(0.45) + np.float32(0.55) * crown)
        )
    else:
        height = np.float32(1.9) * np.sqrt(crown * (1 - along * along))
    middle = (reach - UNDER_TERMINAL) / 2
    cover = box_cover(area, (reach + UNDER_TERMINAL) / 2, half_v, 1.5, middle)
    canvas.cover(area, cover, SOLDER, height + np.float32(0.5))


def _paint_blob(canvas: Canvas, frame: Frame, joint: Joint, amount: float) -> None:
    """Paint too much solder: a ball that swells over the terminal and past the pad."""
    reach = joint.pad_reach + 1.2 * amount
    half_u, half_v = (reach + UNDER_TERMINAL + 1.5) / 2, joint.pad_half_width + 0.7 * amount
    middle = frame.at(half_u - UNDER_TERMINAL - 1.5, 0.0)
    canvas.disc(middle, half_u, half_v, SOLDER, _dome(half_u, half_v, 3.2 + 1.6 * amount))


def _dome(half_u: float, half_v: float, top: float) -> Profile:
    def height(u: Array, v: Array) -> Array:
        radius = np.clip((u / np.float32(half_u)) ** 2 + (v / np.float32(half_v)) ** 2, 0, 1)
        level: Array = np.float32(top) * np.sqrt(1 - radius) + np.float32(0.4)
        return level

    return height


def _paint_bridge(canvas: Canvas, part: Part, assembly: Assembly, site: Frame) -> None:
    """Paint solder that runs from one joint to another, outside the part's body."""
    first, second = (part.joints[index] for index in assembly.bridge or ())
    if part.kind in LEADED:
        ends = [_solder_point(joint, 0.35) for joint in (first, second)]
    else:  # two terminals: the bridge passes beside the body
        beside = part.half_width + assembly.bridge_width * 0.7
        ends = [(joint.x * 0.95, beside) for joint in (first, second)]
    (x0, y0), (x1, y1) = ends
    half = math.hypot(x1 - x0, y1 - y0) / 2
    middle = site.at((x0 + x1) / 2, (y0 + y1) / 2, math.atan2(y1 - y0, x1 - x0))
    width = assembly.bridge_width

    def ridge(u: Array, v: Array) -> Array:
        aside: Array = np.clip(np.abs(v) / np.float32(width), 0, 1)
        level: Array = np.float32(1.7 * width) * np.sqrt(1 - aside * aside)
        return level

    canvas.box(middle, half + 1.0, width, SOLDER, ridge, corner=1.0)


def _solder_point(joint: Joint, share: float) -> tuple[float, float]:
    distance = joint.pad_reach * share
    return joint.x + math.cos(joint.outward) * distance, joint.y + math.sin(joint.outward) * distance


# --- the part --------------------------------------------------------------------------------


def _paint_part(canvas: Canvas, part: Part, assembly: Assembly, placed: Frame) -> None:
    if part.kind in LEADED:
        _paint_leads(canvas, part, assembly, placed)
        _paint_package(canvas, part, placed)
    elif assembly.standing is not None:
        _paint_standing_chip(canvas, part, assembly.standing, placed)
    else:
        _paint_chip(canvas, part, placed)


def _paint_leads(canvas: Canvas, part: Part, assembly: Assembly, placed: Frame) -> None:
    for index, joint in enumerate(part.joints):
        lead = placed.at(joint.x, joint.y, joint.outward)
        length = abs(joint.y) - part.half_width + 1.5
        if index == assembly.lifted:
            _paint_lifted_lead(canvas, lead, length, assembly.bend)
        else:
            canvas.box(
                lead.at(-length / 2 + 0.8, 0.0),
                length / 2 + 0.8,
                LEAD_HALF_WIDTH,
                TIN,
                _gull_wing(length),
                0.5,
            )


def _gull_wing(length: float) -> Profile:
    """Return the height along a lead: high at the package, down a shoulder, flat at the foot."""

    def height(u: Array, v: Array) -> Array:
        share: Array = np.clip((u + np.float32(length / 2)) / np.float32(length * 0.6), 0, 1)
        return np.float32(3.6) - np.float32(2.2) * share * share * (3 - 2 * share)

    return height


def _paint_lifted_lead(canvas: Canvas, lead: Frame, length: float, bend: float) -> None:
    """Paint a lead that ends in the air, bent aside, above a pad that stayed dry."""
    aside = math.atan2(bend, length)
    root = lead.at(-length, 0.0, aside)
    short = length * 0.72
    canvas.box(root.at(short / 2, 0.0), short / 2, LEAD_HALF_WIDTH, TIN, 5.2, 0.5)


def _paint_package(canvas: Canvas, part: Part, placed: Frame) -> None:
    body = Material(part.body, 0.12)
    canvas.box(placed, part.half_length, part.half_width, body, part.height, corner=0.8)
    if part.kind == "soic":
        stripe = -part.half_length + 1.8
        canvas.box(placed.at(stripe, 0.0), 1.0, part.half_width - 1.0, INK)
        canvas.disc(placed.at(stripe + 4.2, part.half_width - 3.4), 1.7, 1.7, INK, part.height - 0.8)
        write(canvas, placed.at(2.8, -1.0), part.marking, 0.95, INK)
    else:
        write(canvas, placed, part.marking, 1.1, INK)


def _paint_chip(canvas: Canvas, part: Part, placed: Frame) -> None:
    end = part.half_length * 0.24
    canvas.box(placed, part.half_length, part.half_width, TIN, part.height + 0.4, corner=1.2)
    face = part.half_length - 2 * end
    body = Material(part.body, 0.08)
    canvas.box(placed, face, part.half_width - 0.2, body, part.height)
    if part.kind == "chip_r":
        write(canvas, placed, part.marking, 1.15, INK)
    if part.kind == "led":
        lens = min(face, part.half_width) * 0.80
        canvas.disc(placed.at(1.0, 0.0), lens, lens, LENS, _dome(lens, lens, part.height + 3.0))
        canvas.box(placed.at(-face + 1.2, 0.0), 1.6, part.half_width - 0.8, CATHODE)


def _paint_standing_chip(canvas: Canvas, part: Part, joint: int, placed: Frame) -> None:
    """Paint a tombstone: the part stands on one terminal, its other end faces the camera."""
    side = 1 if part.joints[joint].x > 0 else -1
    foot = placed.at(side * part.half_length * 0.80, 0.0)
    depth = max(part.height * 0.75, 3.6)
    canvas.box(foot.at(-side * depth, 0.0), depth, part.half_width - 0.4, Material(part.body, 0.08), 9.0)
    canvas.box(foot, depth, part.half_width, TIN, 12.0, corner=1.0)
