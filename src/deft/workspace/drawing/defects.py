"""Nine assembly defects, each applied to a golden assembly of the kinds that can have it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from deft.workspace.drawing.assembly import Assembly
from deft.workspace.drawing.parts import KINDS, LEADED, TWO_TERMINALS, Part

Apply = Callable[[np.random.Generator, Part, Assembly], Assembly]

POLARISED = ("soic", "led")


def apply_defect(rng: np.random.Generator, part: Part, assembly: Assembly, defect: str) -> Assembly:
    """Return the assembly with a defect of a random strength and place."""
    _, apply = DEFECTS[defect]
    return apply(rng, part, assembly)


def defects_of(kind: str) -> tuple[str, ...]:
    """Return the defects that a kind of part can have."""
    return tuple(defect for defect, (kinds, _) in DEFECTS.items() if kind in kinds)


def _missing(rng: np.random.Generator, part: Part, assembly: Assembly) -> Assembly:
    return replace(assembly, present=False)


def _shift(rng: np.random.Generator, part: Part, assembly: Assembly) -> Assembly:
    distance, direction = rng.uniform(3.2, 6.5), rng.uniform(0, 2 * math.pi)
    x, y = assembly.offset
    return replace(assembly, offset=(x + distance * math.cos(direction), y + distance * math.sin(direction)))


def _rotated(rng: np.random.Generator, part: Part, assembly: Assembly) -> Assembly:
    turn = math.radians(rng.uniform(9.0, 22.0)) * _sign(rng)
    return replace(assembly, turn=assembly.turn + turn)


def _tombstone(rng: np.random.Generator, part: Part, assembly: Assembly) -> Assembly:
    return replace(assembly, standing=_any_joint(rng, part))


def _insufficient(rng: np.random.Generator, part: Part, assembly: Assembly) -> Assembly:
    dry = {_any_joint(rng, part)}
    if part.kind in LEADED:  # one lead of eight is a few pixels: a neighbour runs dry as well
        dry.add((min(dry) + 1) % part.pins)
    amounts = tuple(rng.uniform(0.0, 0.2) if i in dry else a for i, a in enumerate(assembly.solder))
    return replace(assembly, solder=amounts)


def _excess(rng: np.random.Generator, part: Part, assembly: Assembly) -> Assembly:
    return _with_solder(assembly, _any_joint(rng, part), rng.uniform(1.7, 2.6))


def _bridge(rng: np.random.Generator, part: Part, assembly: Assembly) -> Assembly:
    width = rng.uniform(1.7, 2.8)
    if part.kind == "soic":
        first = int(rng.choice([0, 1, 2, 4, 5, 6]))
        return replace(assembly, bridge=(first, first + 1), bridge_width=width)
    return replace(assembly, bridge=(0, 1), bridge_width=width * (1.0 if part.kind in LEADED else 1.35))


def _polarity(rng: np.random.Generator, part: Part, assembly: Assembly) -> Assembly:
    return replace(assembly, reversed=True)


def _lifted(rng: np.random.Generator, part: Part, assembly: Assembly) -> Assembly:
    joint = _any_joint(rng, part)
    dry = _with_solder(assembly, joint, 0.0)
    return replace(dry, lifted=joint, bend=rng.uniform(1.5, 3.2) * _sign(rng))


def _with_solder(assembly: Assembly, joint: int, amount: float) -> Assembly:
    amounts = tuple(amount if i == joint else a for i, a in enumerate(assembly.solder))
    return replace(assembly, solder=amounts)


def _any_joint(rng: np.random.Generator, part: Part) -> int:
    return int(rng.integers(0, part.pins))


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


DEFECTS: dict[str, tuple[tuple[str, ...], Apply]] = {
    "missing": (KINDS, _missing),
    "shift": (KINDS, _shift),
    "rotated": (KINDS, _rotated),
    "tombstone": (TWO_TERMINALS, _tombstone),
    "insufficient": (KINDS, _insufficient),
    "excess": (KINDS, _excess),
    "bridge": (KINDS, _bridge),
    "polarity": (POLARISED, _polarity),
    "lifted": (LEADED, _lifted),
}
