"""Drawn pictures: every defect of every kind shows under every light, and good parts stay good."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deft.workspace.drawing import inspection, optics
from deft.workspace.drawing.defects import DEFECTS, defects_of
from deft.workspace.drawing.inspection import Place, Visibility, defect_pictures, visibility
from deft.workspace.drawing.parts import KINDS, draw_ground, draw_part

CASES = [(kind, light) for kind in KINDS for light in optics.LIGHTINGS]
NOISE = optics.noise_bank(np.random.default_rng(0))


def place_of(kind: str, light: str, seed: int = 0, mask: str = "green") -> Place:
    rng = np.random.default_rng(seed)
    part = draw_part(rng, kind)
    return Place(part, draw_ground(rng, mask, "gold", part), light)


@pytest.mark.parametrize(("kind", "light"), CASES)
def test_every_defect_of_a_kind_differs_visibly_from_the_same_shot_without_it(kind: str, light: str) -> None:
    for number, defect in enumerate(defects_of(kind)):
        place = place_of(kind, light, number, mask=("green", "blue", "red", "black", "white")[number % 5])
        bad, clean, seen = defect_pictures(np.random.default_rng(number), place, defect, NOISE)
        assert visibility(bad, clean) == seen
        assert seen.pixels >= inspection.FLOOR_PIXELS
        assert seen.contrast >= inspection.FLOOR_CONTRAST


def test_a_defect_below_the_floor_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    faint = iter([Visibility(0, 0.0), Visibility(5, 200.0), Visibility(900, 10.0)])
    measured = Visibility(100, 60.0)
    monkeypatch.setattr(inspection, "visibility", lambda bad, clean: next(faint, measured))
    assert (
        defect_pictures(np.random.default_rng(0), place_of("led", "white"), "missing", NOISE)[2] == measured
    )
    assert next(faint, None) is None


def test_without_a_defect_two_pictures_of_one_shot_are_equal() -> None:
    place = place_of("soic", "ring_rgb")
    shot = inspection.draw_shot(np.random.default_rng(1), place, inspection.LINE)
    first, again = inspection._take(place, shot, NOISE), inspection._take(place, replace(shot), NOISE)
    assert visibility(first, again) == Visibility(0, 0.0)


def test_every_defect_belongs_to_a_kind_and_only_polarised_parts_can_be_reversed() -> None:
    assert {defect for kind in KINDS for defect in defects_of(kind)} == set(DEFECTS)
    assert [kind for kind in KINDS if "polarity" in defects_of(kind)] == ["soic", "led"]


@pytest.mark.parametrize(("kind", "light"), CASES)
def test_no_picture_is_over_exposed_or_black(kind: str, light: str) -> None:
    for mask in ("white", "black"):
        picture = inspection.golden_picture(place_of(kind, light, mask=mask), NOISE)
        assert (picture == 255).all(axis=2).mean() < 0.005
        assert picture.max(axis=2).mean() > 20


def test_a_good_part_differs_from_its_golden_less_than_the_faintest_missing_part() -> None:
    good, missing = [], []
    for seed in range(12):
        place = place_of("chip_c", "white", seed)
        golden = inspection.golden_picture(place, NOISE)
        rng = np.random.default_rng(seed)
        good.append(visibility(inspection.good_picture(rng, place, NOISE), golden).pixels)
        missing.append(visibility(defect_pictures(rng, place, "missing", NOISE)[0], golden).pixels)
    assert np.median(good) < np.median(missing)
    assert min(good) > 0
