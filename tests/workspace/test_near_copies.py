"""Likely copies among many pictures, found without comparing each with each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deft.workspace import near_copies as module
from deft.workspace.near_copies import near_copies
from deft.workspace.pixels import THUMBNAIL, Picture


def made(hash_: int, thumbnail: np.ndarray, name: str = "") -> Picture:
    return Picture(name, False, hash_, thumbnail.astype(np.uint8))


def texture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (THUMBNAIL, THUMBNAIL))


def found(one: Picture, two: Picture, label: str = "PASS") -> bool:
    return bool(near_copies([one], [two], ["PASS"], [label])[0])


def test_a_copy_is_returned_with_its_error() -> None:
    (copy,), unchecked = near_copies([made(0, texture())], [made(0, texture() + 3)], ["PASS"], ["PASS"])
    assert copy == (0, 0, pytest.approx(3.0))
    assert unchecked == 0


def test_hash_label_and_error_must_all_agree() -> None:
    one = made(0, texture())
    assert found(one, made(0b111111, texture()))
    assert not found(one, made(0b1111111, texture()))
    assert not found(one, made(0x0001000100010001, texture()))
    assert not found(one, made(0, texture()), label="open")
    assert not found(one, made(0, texture(1)))
    assert not found(one, made(0, texture() + 13))


def test_pictures_without_contrast_are_never_copies() -> None:
    flat = np.full((THUMBNAIL, THUMBNAIL), 90)
    assert not found(made(0, flat), made(0, flat))


def test_no_pictures_have_no_copies() -> None:
    assert near_copies([], [made(0, texture())], [], ["PASS"]) == ([], 0)


HASHES = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 255), min_size=1, max_size=12)


@given(HASHES, HASHES, st.sampled_from([1, 3, 1000]))
def test_the_blocks_of_a_band_hold_exactly_the_pairs_that_share_it(
    ones: list[int], twos: list[int], at_once: int
) -> None:
    first, second = np.array(ones, np.uint64), np.array(twos, np.uint64)
    before = module.PAIRS_AT_ONCE
    module.PAIRS_AT_ONCE = at_once
    try:
        pairs = [
            pair
            for left, right in module._sharing_band(first, second, 16)
            for pair in zip(left.tolist(), right.tolist(), strict=True)
        ]
    finally:
        module.PAIRS_AT_ONCE = before
    wanted = {
        (i, j) for i, one in enumerate(ones) for j, two in enumerate(twos) if (one ^ two) >> 16 & 0xFFFF == 0
    }
    assert len(pairs) == len(wanted)
    assert set(pairs) == wanted


def test_too_many_candidates_are_counted_and_the_most_alike_are_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_CANDIDATES", 1)
    copies, unchecked = near_copies(
        [made(0, texture())], [made(7, texture()), made(0, texture())], ["PASS"], ["PASS", "PASS"]
    )
    assert [(i, j) for i, j, _ in copies] == [(0, 1)]
    assert unchecked == 1
