"""A product of matrices is never more wrong than it says, and bfloat16 is used where it pays."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deft.embedding import arithmetic
from deft.embedding.arithmetic import Brain, Single, brain_pays, has_native_bfloat16


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def error_share(kind: type[Single | Brain], rows: np.ndarray, others: np.ndarray) -> float:
    """Return the largest error of a product, as a share of what it says it may be."""
    used = kind(rows)
    exact = rows.astype(np.float64) @ others.astype(np.float64).T
    lengths = [np.linalg.norm(side.astype(np.float64), axis=1) for side in (rows, others)]
    return float(
        (np.abs(np.asarray(used.products(others).tolist()) - exact) / np.outer(*lengths)).max() / used.error()
    )


@pytest.mark.parametrize("kind", [Single, Brain])
@pytest.mark.parametrize("width", [1, 3, 64, 768])
def test_no_product_is_more_wrong_than_it_says(kind: type[Single | Brain], width: int) -> None:
    draw = np.random.default_rng(width)
    rows, others = (draw.normal(size=(n, width)).astype(np.float32) for n in (40, 300))
    assert error_share(kind, rows, others) < 1


def test_the_bound_of_bfloat16_is_not_far_above_what_the_worst_factors_do() -> None:
    halfway = np.full((1, 1), 1 + 2.0**-8, dtype=np.float32)
    assert 0.6 < error_share(Brain, halfway, halfway) < 1


def test_numbers_that_single_precision_sums_in_turn_are_summed_in_single_precision_by_bfloat16_too() -> None:
    rows = np.full((1, 4096), 1.0, dtype=np.float32)
    assert Brain(rows).products(rows).item() == 4096  # a sum kept in eight bits would stop at 256


@pytest.mark.parametrize("level", [-0.5, 0.0, 1e-30, 0.25, 0.5])
@pytest.mark.parametrize("offset", [0.0, 0.125])
def test_every_product_that_reaches_a_level_is_found_and_none_that_lies_clearly_below(
    level: float, offset: float
) -> None:
    draw = np.random.default_rng(2)
    rows, others = (draw.normal(size=(n, 8)).astype(np.float32) for n in (5, 400))
    offsets, lowest = np.full(400, offset, np.float32), np.full(5, level, np.float32)
    brain = Brain(rows)
    scores = brain.products(others).float().numpy() - offsets
    found = np.zeros(scores.size, dtype=bool)
    found[brain.places(others, offsets, lowest)] = True
    assert found[scores.ravel() >= level].all()
    assert not found[scores.ravel() < level - 0.01 * abs(level)].any()


def test_a_processor_without_native_bfloat16_stays_with_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "has_native_bfloat16", lambda: False)
    assert not brain_pays(2**60)
    monkeypatch.setattr(arithmetic, "has_native_bfloat16", lambda: True)
    assert brain_pays(0)


@pytest.mark.parametrize(("flags", "native"), [("sse2 avx512_bf16 fma", True), ("sse2 avx512f", False)])
def test_the_processor_says_what_it_multiplies(
    flags: str, native: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
    monkeypatch.setattr(arithmetic, "PROCESSOR", tmp_path / "cpuinfo")
    assert has_native_bfloat16.__wrapped__() is native


def test_a_system_that_describes_no_processor_stays_with_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arithmetic, "PROCESSOR", tmp_path / "cpuinfo")
    assert not has_native_bfloat16.__wrapped__()


def test_pytorch_is_loaded_only_for_work_that_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "has_native_bfloat16", lambda: True)
    monkeypatch.delitem(sys.modules, "torch")
    assert not brain_pays(arithmetic.WORTH_LOADING - 1)
    assert "torch" not in sys.modules


def test_without_pytorch_all_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "has_native_bfloat16", lambda: True)
    monkeypatch.setitem(sys.modules, "torch", None)  # an import then fails as if it were not installed
    assert not brain_pays(2**60)
