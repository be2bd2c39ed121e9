from __future__ import annotations

import numpy as np
import pytest

from deft.embedding.standardisation import PoolStatistics, combine
from deft.errors import InputRefused


def blocks() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.normal(5, 3, (50, 4)).astype(np.float32), generator.random((50, 2), dtype=np.float32)]


def test_components_are_z_scored_made_unit_length_and_weighed() -> None:
    pair, appearance = blocks()
    combined = combine([pair, appearance], PoolStatistics.over([[pair, appearance]]), (0.8, 0.6))
    scores = (pair - pair.mean(0)) / pair.std(0)
    expected = 0.8 * scores / np.linalg.norm(scores, axis=1, keepdims=True)
    np.testing.assert_allclose(combined[:, :4], expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(combined, axis=1), 1.0, atol=1e-6)
    assert combined.dtype == np.float32


def test_the_scale_of_a_component_does_not_matter() -> None:
    pair, appearance = blocks()
    scaled = [pair * 1000, appearance]
    np.testing.assert_allclose(
        combine(scaled, PoolStatistics.over([scaled]), (0.8, 0.6)),
        combine([pair, appearance], PoolStatistics.over([[pair, appearance]]), (0.8, 0.6)),
        atol=1e-4,
    )


def test_a_dimension_that_the_pool_does_not_vary_counts_nothing_for_a_target_either() -> None:
    pool = np.array([[1, 7], [2, 7], [3, 7]], np.float32)
    target = np.array([[3, 9000]], np.float32)
    np.testing.assert_allclose(combine([target], PoolStatistics.over([[pool]]), (1.0,)), [[1.0, 0.0]])


def test_a_row_equal_to_the_mean_becomes_zero_instead_of_nan() -> None:
    pool = np.array([[1], [2], [3]], np.float32)
    np.testing.assert_array_equal(combine([pool[1:2]], PoolStatistics.over([[pool]]), (1.0,)), [[0.0]])


def test_statistics_of_nothing_are_refused() -> None:
    with pytest.raises(InputRefused, match="no row"):
        PoolStatistics.over([])


def test_statistics_do_not_depend_on_the_pieces() -> None:
    drawn = np.random.default_rng(0).normal(5, 3, (20_000, 4)).astype(np.float32)
    found = {
        PoolStatistics.over([[drawn[start : start + size]] for start in range(0, 20_000, size)]).digest()
        for size in (20_000, 8_192, 999)
    }
    assert len(found) == 1
