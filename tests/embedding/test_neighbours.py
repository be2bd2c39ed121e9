"""Nearest neighbours are those that float64 finds, in bounded memory, with ties in order."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from deft.embedding import neighbours, screening
from deft.embedding.neighbours import nearest
from deft.errors import InputRefused, UsageError

METRICS = ["cosine", "euclidean", "manhattan"]
Matrix = npt.NDArray[Any]


def by_float64(targets: Matrix, pool: Matrix, k: int, metric: str) -> tuple[Matrix, Matrix]:
    """Compare everything with everything, in float64, on the float32 values."""
    one, other = (side.astype(np.float32).astype(np.float64) for side in (targets, pool))
    distances = np.array([_distances(target, other, metric) for target in one])
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, axis=1), order


def _distances(target: Matrix, pool: Matrix, metric: str) -> Matrix:
    if metric == "manhattan":
        return np.abs(pool - target).sum(axis=1)
    if metric == "euclidean":
        return np.sqrt(((target - pool) ** 2).sum(axis=1))
    products = np.sqrt((target * target).sum() * (pool * pool).sum(axis=1))
    cosines = np.divide((target * pool).sum(axis=1), products, out=np.zeros(len(pool)), where=products > 0)
    return np.clip(1 - cosines, 0, 2)


def drawn(kind: str) -> tuple[Matrix, Matrix]:
    draw = np.random.default_rng(7)
    targets, pool = draw.normal(size=(9, 24)), draw.normal(size=(700, 24))
    if kind == "far from the origin":
        return targets + 1000, pool + 1000
    if kind == "of many equal rows":
        return targets, np.repeat(pool[:20], 35, axis=0)
    if kind == "nearly equal":
        return targets, pool[:1] + 1e-6 * pool
    if kind == "with zeros":
        pool[::3], targets[2] = 0, 0
    if kind == "on a grid":
        return np.round(targets), np.round(pool)
    return (targets * 1e-21, pool * 1e-21) if kind == "tiny" else (targets * 1e21, pool * 1e21)


KINDS = [
    "far from the origin",
    "of many equal rows",
    "nearly equal",
    "with zeros",
    "on a grid",
    "tiny",
    "vast",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", METRICS)
def test_the_answer_is_that_of_float64(kind: str, metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "POOL_ROWS", 64)
    monkeypatch.setattr(neighbours, "TARGET_ROWS", 4)
    monkeypatch.setattr(screening, "PAIR_VALUES", 240)
    targets, pool = drawn(kind)
    distance, index = nearest(targets, pool, 11, metric)
    expected_distance, expected_index = by_float64(targets, pool, 11, metric)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_allclose(distance, expected_distance, rtol=1e-14)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_distances_are_ordered_by_their_keys(metric: str) -> None:
    pool = np.repeat([[1.0, 0.0], [0.0, 1.0]], 4, axis=0)
    keys = ["h", "c", "f", "a", "g", "b", "e", "d"]
    _, index = nearest([[1.0, 0.0]], pool, 3, metric, tie_keys=keys)
    assert [keys[row] for row in index[0]] == ["a", "c", "f"]


def test_keys_decide_which_of_equal_rows_are_found_over_all_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "POOL_ROWS", 5)
    keys = [f"{i:03}" for i in range(100)][::-1]
    _, index = nearest([[1.0, 2.0]], np.tile([3.0, 4.0], (100, 1)), 2, "cosine", tie_keys=keys)
    assert index.tolist() == [[99, 98]]


def test_more_neighbours_than_rows_are_all_rows() -> None:
    distance, index = nearest([[0.0], [5.0]], [[1.0], [4.0]], 10, "euclidean")
    assert index.tolist() == [[0, 1], [1, 0]]
    assert distance.tolist() == [[1.0, 4.0], [1.0, 4.0]]


def test_a_vector_is_at_no_distance_from_itself() -> None:
    vectors = np.random.default_rng(3).normal(size=(50, 33))
    for metric in METRICS:
        distance, index = nearest(vectors, vectors, 1, metric)
        assert index.ravel().tolist() == list(range(50))
        assert distance.ravel().tolist() == [0.0] * 50


def test_a_vector_of_zeros_has_cosine_0_with_everything() -> None:
    distance, _ = nearest([[0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]], 2, "cosine")
    assert distance.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("metric", METRICS)
def test_a_block_smaller_than_k_loses_nothing(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "POOL_ROWS", 3)
    targets, pool = drawn("with zeros")
    _, index = nearest(targets, pool, 10, metric)
    np.testing.assert_array_equal(index, by_float64(targets, pool, 10, metric)[1])


def test_progress_ends_at_its_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "POOL_ROWS", 3)
    steps: list[tuple[int, int]] = []
    nearest(np.ones((2, 2)), np.ones((7, 2)), 1, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(6, 14), (12, 14), (14, 14)]


def test_memory_does_not_grow_with_the_pool() -> None:
    draw = np.random.default_rng(1)
    targets = draw.normal(size=(64, 8)).astype(np.float32)
    peaks = []
    for rows in (20_000, 160_000):
        pool = draw.normal(size=(rows, 8)).astype(np.float32)
        tracemalloc.start()
        nearest(targets, pool, 5, "cosine")
        peaks.append(
            tracemalloc.get_traced_memory()[1] - 8 * rows
        )  # the ranks of the keys: one integer a row
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_row(value: float) -> None:
    pool = np.ones((5, 2))
    pool[3, 1] = value
    with pytest.raises(InputRefused, match="a pool vector holds a value that is not finite: row 4"):
        nearest(np.ones((1, 2)), pool, 1)


def test_vectors_of_two_lengths_are_refused() -> None:
    with pytest.raises(InputRefused, match="differ in length: 2 and 3"):
        nearest(np.ones((1, 2)), np.ones((1, 3)), 1)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (4,)])
def test_what_is_no_table_of_vectors_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputRefused, match="do not form a table"):
        nearest(np.ones((2, 4)), np.ones(shape), 1)


def test_an_unknown_metric_and_a_k_below_1_are_refused() -> None:
    with pytest.raises(UsageError, match="choose one of cosine, euclidean, manhattan"):
        nearest(np.ones((1, 2)), np.ones((1, 2)), 1, "angular")
    with pytest.raises(UsageError, match="must be a positive integer: 0"):
        nearest(np.ones((1, 2)), np.ones((1, 2)), 0)
