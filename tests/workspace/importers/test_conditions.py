"""Imaging conditions: repeatable, each its own look, golden undisturbed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deft.workspace.importers.conditions import (
    CONDITIONS,
    Condition,
    Shot,
    draw_look,
    draw_shot,
    golden_picture,
    inspected_picture,
)

STILL = Shot(0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def window() -> np.ndarray:
    copper = np.zeros((96, 96), bool)
    copper[:, 30:60] = True
    copper[20:40, 60:80] = True
    return copper


def test_there_are_six_conditions() -> None:
    assert len(CONDITIONS) == 6


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=lambda condition: condition.name)
def test_copper_stands_out_from_the_substrate_in_every_condition(condition: Condition) -> None:
    picture = golden_picture(window()[16:80, 16:80], draw_look(rng(), condition)).astype(int)
    copper, substrate = picture[40, 30].sum(), picture[40, 5].sum()
    assert copper > substrate + 60


def test_the_same_draws_give_the_same_picture_and_others_do_not() -> None:
    condition = CONDITIONS["black_glare"]
    look, shot = draw_look(rng(), condition), draw_shot(rng(1), condition)
    first = inspected_picture(rng(2), window(), look, shot)
    assert (inspected_picture(rng(2), window(), look, shot) == first).all()
    assert (inspected_picture(rng(3), window(), look, shot) != first).any()


def test_a_still_shot_of_a_good_crop_is_close_to_its_golden() -> None:
    look = replace(draw_look(rng(), CONDITIONS["green_white"]), weave=0.0)
    golden = golden_picture(window()[16:80, 16:80], look).astype(int)
    tested = inspected_picture(rng(), window(), look, STILL).astype(int)
    assert np.abs(golden - tested)[4:-4, 4:-4].mean() < 4


def test_a_shift_moves_the_test_picture_only() -> None:
    look = replace(draw_look(rng(), CONDITIONS["green_white"]), weave=0.0)
    still = inspected_picture(rng(), window(), look, STILL)
    moved = inspected_picture(rng(), window(), look, replace(STILL, shift_x=2.0))
    assert np.abs(moved[:, :-2].astype(int) - still[:, 2:]).mean() < 2
    assert np.abs(moved.astype(int) - still).mean() > 2


def test_over_etching_takes_copper_away() -> None:
    look = replace(draw_look(rng(), CONDITIONS["green_white"]), weave=0.0)
    eaten = inspected_picture(rng(), window(), look, replace(STILL, etch=0.18))
    left = inspected_picture(rng(), window(), look, replace(STILL, etch=-0.18))
    assert eaten.mean() < left.mean()


def test_low_light_is_darker_and_defocus_softer() -> None:
    pictures = {}
    for name in ("green_white", "red_lowlight", "green_defocus"):
        condition = CONDITIONS[name]
        shots = [draw_shot(rng(seed), condition) for seed in range(10)]
        look = draw_look(rng(), condition)
        pictures[name] = np.stack([inspected_picture(rng(1), window(), look, shot) for shot in shots])
    assert pictures["red_lowlight"].mean() < 0.8 * pictures["green_white"].mean()

    def sharpness(stack: np.ndarray) -> float:
        green = stack[..., 1].astype(float)
        return float(np.abs(np.diff(green, axis=2)).max(axis=2).mean())

    assert sharpness(pictures["green_defocus"]) < sharpness(pictures["green_white"])


def test_a_shot_records_every_tolerance() -> None:
    record = draw_shot(rng(), CONDITIONS["blue_side"]).record()
    assert {"rotation_deg", "scale", "shift_x", "etch", "gain", "gamma", "blur", "noise"} <= set(record)
    assert -2.5 <= record["rotation_deg"] <= 2.5
