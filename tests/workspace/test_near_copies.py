"""Likely copies among many pictures, found without comparing each with each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.workspace import near_copies as module
from deft.workspace.near_copies import Copy, near_copies
from deft.workspace.pixels import THUMBNAIL, Picture


def made(hash_: int, thumbnail: np.ndarray, name: str = "") -> Picture:
    return Picture(name, False, hash_, thumbnail.astype(np.uint8))


def texture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (THUMBNAIL, THUMBNAIL))


def found(one: Picture, two: Picture, label: str = "PASS") -> bool:
    return bool(near_copies([one], [two], ["PASS"], [label])[0])


def test_a_copy_is_returned_with_its_error() -> None:
    (copy,), unchecked = near_copies([made(0, texture())], [made(0, texture() + 3)], ["PASS"], ["PASS"])
    assert copy == Copy(0, 0, pytest.approx(3.0), one_label=True)
    assert unchecked == 0


def test_hash_and_error_must_both_agree() -> None:
    one = made(0, texture())
    assert found(one, made(0b111111, texture()))
    assert not found(one, made(0b1111111, texture()))
    assert not found(one, made(0x0001000100010001, texture()))
    assert not found(one, made(0, texture(1)))
    assert not found(one, made(0, texture() + 13))


def test_between_labels_every_cell_has_to_agree() -> None:
    one, other = made(0, texture() + 10), texture() + 10
    copies, _ = near_copies([one], [made(0, other + 5)], ["PASS"], ["open"])
    assert copies == [Copy(0, 0, 5.0, one_label=False)]
    other[3, 3] -= 9
    assert found(one, made(0, other))
    assert not found(one, made(0, other), label="open")


def test_pictures_without_contrast_are_never_copies() -> None:
    flat = np.full((THUMBNAIL, THUMBNAIL), 90)
    assert not found(made(0, flat), made(0, flat))


def test_no_pictures_have_no_copies() -> None:
    assert near_copies([], [made(0, texture())], [], ["PASS"]) == ([], 0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 5, 1000]))
def test_bands_windows_and_blocks_find_what_comparing_each_with_each_finds(seed: int, at_once: int) -> None:
    random = np.random.default_rng(seed)
    bases = [texture(n) for n in range(3)]
    sides = [
        [
            made(int(random.integers(0, 64)), bases[random.integers(3)] + random.integers(0, 18))
            for _ in range(9)
        ]
        for _ in range(2)
    ]
    labels = [["PASS"] * 8 + ["open"], ["PASS", "open"] * 4 + ["PASS"]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PAIRS_AT_ONCE", at_once)
        patch.setattr(module, "CONFIRMED_AT_ONCE", at_once)
        copies, unchecked = near_copies(*sides, *labels)
    wanted = [
        (i, j)
        for i, one in enumerate(sides[0])
        for j, two in enumerate(sides[1])
        if found(one, two, "PASS" if labels[0][i] == labels[1][j] else "open")
    ]
    assert [(copy.first, copy.second) for copy in copies] == wanted
    assert unchecked == 0


def test_what_is_too_much_to_confirm_is_counted_and_the_most_alike_go_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_CONFIRMED", 1)
    copies, unchecked = near_copies(
        [made(0, texture())], [made(7, texture()), made(0, texture())], ["PASS"], ["PASS", "PASS"]
    )
    assert [(copy.first, copy.second) for copy in copies] == [(0, 1)]
    assert unchecked == 1


def test_too_many_alike_are_left_out_and_counted_but_the_rare_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_PAIRS_OF_A_BAND", 3)
    rare = 0xABCD_ABCD_ABCD_ABCD
    pictures = [made(0, texture())] * 3 + [made(rare, texture())]
    copies, unchecked = near_copies(pictures, pictures, ["PASS"] * 4, ["PASS"] * 4)
    assert Copy(3, 3, 0.0, one_label=True) in copies
    assert unchecked >= 6
