"""The parts that the demo's boards carry: sizes, joints, colours; drawn once for each place on a board.

Lengths are pixels of a 64-pixel picture. A joint is where a terminal or a lead meets its pad: its frame
stands on the board, points outwards, and its origin is the end of the terminal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from deft.workspace.drawing.canvas import Colour, Frame, Material
from deft.workspace.drawing.lettering import LETTERS

KINDS = ("chip_r", "chip_c", "sot23", "soic", "led")
TWO_TERMINALS = ("chip_r", "chip_c", "led")
LEADED = ("sot23", "soic")

MASKS: dict[str, Colour] = {
    "green": (0.08, 0.34, 0.17),
    "blue": (0.07, 0.18, 0.42),
    "red": (0.46, 0.09, 0.09),
    "black": (0.10, 0.10, 0.11),
    "white": (0.72, 0.73, 0.70),
}
FINISHES: dict[str, Colour] = {"gold": (0.82, 0.62, 0.26), "copper": (0.74, 0.42, 0.25)}


@dataclass(frozen=True)
class Joint:
    """One solder joint, in the part's frame."""

    x: float
    y: float
    outward: float
    pad_reach: float
    pad_half_width: float

    def frame(self, part: Frame) -> Frame:
        """Return the joint's frame on the picture: u points outwards, the origin is the terminal's end."""
        return part.at(self.x, self.y, self.outward)


@dataclass(frozen=True)
class Part:
    """A part on its place: what its golden picture shows."""

    kind: str
    half_length: float
    half_width: float
    height: float
    body: Colour
    joints: tuple[Joint, ...]
    marking: str
    orientation: int

    @property
    def pins(self) -> int:
        return len(self.joints)

    @property
    def angle(self) -> float:
        return self.orientation * math.pi / 2


@dataclass(frozen=True)
class Ground:
    """The board below a part: mask, pad finish, tracks that lead away, vias beside it."""

    mask: str
    finish: str
    silk: bool
    tracks: tuple[tuple[float, float, float, float], ...]
    vias: tuple[tuple[float, float], ...]

    @property
    def mask_material(self) -> Material:
        return Material(MASKS[self.mask], 0.10)

    @property
    def track_material(self) -> Material:
        red, green, blue = MASKS[self.mask]
        return Material((red * 1.15 + 0.05, green * 1.15 + 0.07, blue * 1.15 + 0.03), 0.14)

    @property
    def pad_material(self) -> Material:
        return Material(FINISHES[self.finish], 0.28)


def draw_part(rng: np.random.Generator, kind: str) -> Part:
    """Draw the size, colour and marking of one part of a kind."""
    builders = {"chip_r": _chip, "chip_c": _chip, "led": _chip, "sot23": _sot23, "soic": _soic}
    return builders[kind](rng, kind)


def draw_ground(rng: np.random.Generator, mask: str, finish: str, part: Part) -> Ground:
    """Draw what surrounds a part: a track from every joint to the border, a few more, vias."""
    tracks = [_track_from(rng, joint) for joint in part.joints]
    tracks += [_passing_track(rng) for _ in range(int(rng.integers(0, 3)))]
    corners = [
        (side_x * rng.uniform(25, 29), side_y * rng.uniform(25, 29))
        for side_x in (-1, 1)
        for side_y in (-1, 1)
    ]
    vias = tuple(corner for corner in corners if rng.random() < 0.35)
    return Ground(mask, finish, bool(rng.random() < 0.75), tuple(tracks), vias)


def _track_from(rng: np.random.Generator, joint: Joint) -> tuple[float, float, float, float]:
    """Return (x, y, angle, half width) of a track that starts at a joint's pad and leaves the picture."""
    x = joint.x + math.cos(joint.outward) * joint.pad_reach * 0.6
    y = joint.y + math.sin(joint.outward) * joint.pad_reach * 0.6
    return x, y, joint.outward, float(rng.uniform(1.0, 1.9))


def _passing_track(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Return a track along a border of the picture, clear of the part."""
    angle = float(rng.integers(0, 4)) * math.pi / 2
    along, aside = -40.0, float(rng.uniform(26, 31)) * (1 if rng.random() < 0.5 else -1)
    x = math.cos(angle) * along - math.sin(angle) * aside
    y = math.sin(angle) * along + math.cos(angle) * aside
    return x, y, angle, float(rng.uniform(0.9, 1.6))


def _text(rng: np.random.Generator, letters: int) -> str:
    return "".join(LETTERS[int(rng.integers(len(LETTERS)))] for _ in range(letters))


def _shade(rng: np.random.Generator, low: Colour, high: Colour) -> Colour:
    mix = float(rng.random())
    red, green, blue = (a + (b - a) * mix for a, b in zip(low, high, strict=True))
    return red, green, blue


def _chip(rng: np.random.Generator, kind: str) -> Part:
    half_length, half_width = rng.uniform(13.0, 16.5), rng.uniform(7.0, 9.5)
    if kind == "led":
        half_width = rng.uniform(8.0, 10.0)
    reach, pad_half_width = rng.uniform(6.0, 8.0), half_width + rng.uniform(0.6, 1.6)
    joints = (
        Joint(half_length, 0.0, 0.0, reach, pad_half_width),
        Joint(-half_length, 0.0, math.pi, reach, pad_half_width),
    )
    height = {"chip_r": 4.0, "chip_c": 7.0, "led": 5.5}[kind]
    colours: dict[str, tuple[Colour, Colour]] = {
        "chip_r": ((0.07, 0.07, 0.08), (0.13, 0.14, 0.20)),
        "chip_c": ((0.52, 0.38, 0.26), (0.72, 0.58, 0.42)),
        "led": ((0.78, 0.77, 0.72), (0.86, 0.84, 0.78)),
    }
    marking = _text(rng, 3) if kind == "chip_r" else ""
    body = _shade(rng, *colours[kind])
    return Part(kind, half_length, half_width, height, body, joints, marking, int(rng.integers(0, 4)))


def _sot23(rng: np.random.Generator, kind: str) -> Part:
    half_length, half_width = rng.uniform(12.5, 14.5), rng.uniform(7.0, 8.5)
    lead, reach, pitch = rng.uniform(6.0, 7.0), rng.uniform(5.0, 6.0), half_length * 0.66
    end = half_width + lead
    joints = (
        Joint(-pitch, end, math.pi / 2, reach, 4.0),
        Joint(pitch, end, math.pi / 2, reach, 4.0),
        Joint(0.0, -end, -math.pi / 2, reach, 4.0),
    )
    body = _shade(rng, (0.06, 0.06, 0.07), (0.12, 0.12, 0.12))
    return Part(kind, half_length, half_width, 5.0, body, joints, _text(rng, 3), int(rng.integers(0, 4)))


def _soic(rng: np.random.Generator, kind: str) -> Part:
    half_length, half_width = rng.uniform(16.5, 18.5), rng.uniform(9.5, 11.0)
    lead, reach, pitch = rng.uniform(5.5, 6.5), rng.uniform(4.5, 5.5), rng.uniform(8.0, 8.8)
    end = half_width + lead
    places = [(index - 1.5) * pitch for index in range(4)]
    joints = tuple(Joint(x, end, math.pi / 2, reach, 2.6) for x in places)
    joints += tuple(Joint(x, -end, -math.pi / 2, reach, 2.6) for x in places)
    body = _shade(rng, (0.06, 0.06, 0.07), (0.12, 0.12, 0.12))
    return Part(kind, half_length, half_width, 6.0, body, joints, _text(rng, 5), int(rng.integers(0, 4)))
