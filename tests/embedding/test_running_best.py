from __future__ import annotations

import numpy as np
import pytest

from deft.embedding import running_best
from deft.embedding.running_best import RunningBest


def found(pairs: list[tuple[int, int, float, str]], order: np.ndarray, size: int) -> list[list[tuple]]:
    best = RunningBest(3, 4)
    for start in range(0, len(order), size):
        part = [pairs[place] for place in order[start : start + size]]
        targets, rows, distances, keys = (np.array(side) for side in zip(*part, strict=True))
        best.merge(targets, rows, distances, keys.astype(object))
    near = best.neighbours()
    return [list(zip(*sides, strict=True)) for sides in zip(near.distance, near.key, near.row, strict=True)]


@pytest.mark.parametrize("at_once", [2**18, 5])
def test_what_is_kept_depends_neither_on_the_order_nor_on_the_pieces(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(running_best, "MERGED_AT_ONCE", at_once)
    draw = np.random.default_rng(0)
    pairs = [
        (target, row, float(draw.integers(0, 4)), f"k{draw.integers(0, 6)}")
        for target in range(3)
        for row in range(40)
    ]
    expected = [
        sorted((distance, key, row) for target, row, distance, key in pairs if target == wanted)[:4]
        for wanted in range(3)
    ]
    for size in (1, 7, 120):
        assert found(pairs, draw.permutation(len(pairs)), size) == expected


def test_a_target_that_found_less_than_another_takes_nothing_from_it() -> None:
    best = RunningBest(2, 3)
    best.merge(np.array([0, 1, 1]), np.array([4, 5, 6]), np.array([0.5, 0.25, 0.75]))
    assert best.filled.tolist() == [1, 2]
    assert best.neighbours().row.tolist() == [[4, -1], [5, 6]]


def test_a_pool_of_fewer_rows_fills_fewer_places() -> None:
    best = RunningBest(2, 5)
    assert best.neighbours().row.shape == (2, 0)
    assert np.isinf(best.farthest).all()
    best.merge(np.array([0, 1]), np.array([7, 7]), np.array([0.5, 0.25]))
    assert best.neighbours().row.tolist() == [[7], [7]]
    assert best.neighbours().distance.tolist() == [[0.5], [0.25]]
