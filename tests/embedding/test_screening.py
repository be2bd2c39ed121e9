"""Whatever screens, the nearest rows are those of float64: drawn by hypothesis, near-ties among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deft.embedding import neighbours, screening
from deft.embedding.neighbours import nearest

Matrix = npt.NDArray[Any]


@pytest.fixture(autouse=True)
def bfloat16_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Screen in bfloat16 on every processor, for as little as there is, in blocks of 16 rows."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(screening, "brain_pays", lambda multiplications: True)
    monkeypatch.setattr(neighbours, "POOL_ROWS", 16)
    yield
    torch.set_num_threads(threads)


def by_float64(targets: Matrix, pool: Matrix, k: int, metric: str) -> tuple[Matrix, Matrix]:
    one, other = (side.astype(np.float64) for side in (targets, pool))
    rows = []
    for target in one:
        dots = np.einsum("ij,ij->i", np.broadcast_to(target, other.shape).copy(), other)
        if metric == "euclidean":
            difference = target - other
            rows.append(np.sqrt(np.einsum("ij,ij->i", difference, difference)))
            continue
        own = np.einsum("ij,ij->i", target[None], target[None])
        products = np.sqrt(own * np.einsum("ij,ij->i", other, other))
        rows.append(np.clip(1 - np.divide(dots, products, out=np.zeros(len(pool)), where=products > 0), 0, 2))
    distances = np.array(rows)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, axis=1), order


@st.composite
def pools(draw: st.DrawFn) -> tuple[Matrix, Matrix]:
    """Draw targets and a pool: plain, clustered to near-ties, repeated, with zeros, vast, tiny and mixed."""
    width = draw(st.integers(1, 40))
    source = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    targets = source.normal(size=(draw(st.integers(1, 6)), width))
    pool = source.normal(size=(draw(st.integers(1, 120)), width))
    spread = draw(st.sampled_from([1.0, 1e-2, 1e-4, 1e-6, 0.0]))
    pool = spread * pool + (targets[0] if spread < 1 else 0)
    if draw(st.booleans()):
        pool[:: draw(st.integers(1, 5))] = 0
    if draw(st.booleans()):
        pool = pool[source.integers(0, len(pool), len(pool))]
    scale = draw(st.sampled_from([1.0, 1e-30, 1e25]))
    if draw(st.booleans()):  # every row a length of its own
        pool = pool * 10.0 ** source.integers(-9, 9, size=(len(pool), 1))
    return (targets * scale).astype(np.float32), (pool * scale).astype(np.float32)


@given(drawn=pools(), k=st.integers(1, 12), metric=st.sampled_from(["cosine", "euclidean"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_nearest_are_those_of_float64(drawn: tuple[Matrix, Matrix], k: int, metric: str) -> None:
    targets, pool = drawn
    distance, index = nearest(targets, pool, k, metric)
    expected_distance, expected_index = by_float64(targets, pool, k, metric)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_array_equal(distance, expected_distance)


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note which arithmetic every block was multiplied in."""
    used: list[str] = []
    for kind in (screening.Brain, screening.Single):

        def noted(self: Any, others: Matrix, kind: Any = kind, products: Any = kind.products) -> Any:
            used.append(kind.__name__)
            return products(self, others)

        monkeypatch.setattr(kind, "products", noted)
    return used


def test_after_the_first_block_a_plain_pool_is_screened_in_bfloat16_alone(products: list[str]) -> None:
    draw = np.random.default_rng(5)
    pool = 0.01 * draw.normal(size=(64, 32)) + np.repeat([[1.0], [-1.0]], [16, 48], axis=0)
    nearest(np.ones((8, 32)), pool, 3)
    assert products == ["Single", "Brain", "Brain", "Brain"]


def test_a_block_of_near_ties_widens_to_float32(products: list[str]) -> None:
    draw = np.random.default_rng(6)
    pool = 1 + 1e-4 * draw.normal(size=(32, 8))
    _, index = nearest(np.ones((4, 8)), pool, 3)
    assert products == ["Single", "Brain", "Single"]
    np.testing.assert_array_equal(index, by_float64(np.ones((4, 8)), pool.astype(np.float32), 3, "cosine")[1])
