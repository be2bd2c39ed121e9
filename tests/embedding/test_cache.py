from __future__ import annotations

import os
import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from deft.embedding.cache import VectorCache, clean
from deft.files import sha256_of_bytes
from deft.workspace.layout import cache_home

IDENTITY = {"model": "a"}
ONE, TWO = sha256_of_bytes(b"one"), sha256_of_bytes(b"two")


def vector(value: float) -> np.ndarray:
    return np.full(3, value, np.float32)


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.npy"))


def test_a_vector_is_found_by_content_in_this_process_and_in_the_next(tmp_path: Path) -> None:
    cache = VectorCache(IDENTITY, tmp_path)
    cache.add({ONE: vector(1)})
    for seen in (cache, VectorCache(IDENTITY, tmp_path)):
        np.testing.assert_array_equal(seen.find(ONE), vector(1))
        assert seen.find(TWO) is None


def test_vectors_that_a_disk_keeps_are_not_kept_in_memory(tmp_path: Path) -> None:
    cache = VectorCache(IDENTITY, tmp_path)
    cache.add({ONE: vector(1)})  # what is imported at the first call is no part of the second
    tracemalloc.start()
    cache.add({TWO: np.zeros(2**20, np.float32)})
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2**20


def test_more_segments_than_a_process_may_open_files_are_all_found(tmp_path: Path) -> None:
    contents = [sha256_of_bytes(bytes([number])) for number in range(64)]
    cache = VectorCache(IDENTITY, tmp_path)
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, allowed[1]))
    try:
        for number, digest in enumerate(contents):
            cache.add({digest: vector(number)})
        again = VectorCache(IDENTITY, tmp_path)
        found = [[side.find(digest) for digest in contents] for side in (cache, again)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
    for side in found:
        np.testing.assert_array_equal(side, [vector(number) for number in range(64)])


def test_a_vector_that_was_cleaned_away_meanwhile_is_new_again(tmp_path: Path) -> None:
    cache = VectorCache(IDENTITY, tmp_path)
    cache.add({ONE: vector(1)})
    clean(0, tmp_path)
    assert cache.find(ONE) is None
    cache.add({ONE: vector(1), TWO: vector(2)})
    np.testing.assert_array_equal(cache.find(ONE), vector(1))


def test_another_encoder_finds_nothing(tmp_path: Path) -> None:
    VectorCache(IDENTITY, tmp_path).add({ONE: vector(1)})
    assert VectorCache({"model": "b"}, tmp_path).find(ONE) is None


def test_two_processes_that_embed_the_same_keep_both_and_agree(tmp_path: Path) -> None:
    first, second = VectorCache(IDENTITY, tmp_path), VectorCache(IDENTITY, tmp_path)
    first.add({ONE: vector(1)})
    second.add({ONE: vector(1), TWO: vector(2)})
    both = VectorCache(IDENTITY, tmp_path)
    np.testing.assert_array_equal(both.find(ONE), vector(1))
    np.testing.assert_array_equal(both.find(TWO), vector(2))


@pytest.mark.parametrize("damage", [lambda content: content[:-2], lambda content: content[:-1] + b"\x07"])
def test_a_damaged_segment_is_dropped_and_never_believed(tmp_path: Path, damage: object) -> None:
    VectorCache(IDENTITY, tmp_path).add({ONE: vector(1)})
    path = segments(tmp_path)[0]
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert VectorCache(IDENTITY, tmp_path).find(ONE) is None
    assert segments(tmp_path) == []


def test_a_disk_that_refuses_costs_the_reuse_and_not_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = VectorCache(IDENTITY, tmp_path / "file")
    cache.add({ONE: vector(1)})
    np.testing.assert_array_equal(cache.find(ONE), vector(1))


def test_cleaning_deletes_what_went_unused_longest_until_the_bound_holds(tmp_path: Path) -> None:
    for number, digest in enumerate((ONE, TWO)):
        VectorCache({"model": number}, tmp_path).add({digest: vector(number)})
    for path in segments(tmp_path):
        os.utime(path, (1, 1))
    VectorCache({"model": 0}, tmp_path)  # a use
    size = segments(tmp_path)[0].stat().st_size
    assert clean(size, tmp_path) == size
    assert VectorCache({"model": 0}, tmp_path).find(ONE) is not None
    assert VectorCache({"model": 1}, tmp_path).find(TWO) is None


def test_the_cache_stands_in_the_users_cache_folder() -> None:
    VectorCache(IDENTITY).add({ONE: vector(1)})
    assert len(segments(cache_home() / "embeddings")) == 1


def test_cleaning_passes_over_a_segment_that_another_process_deleted_meanwhile(tmp_path: Path) -> None:
    VectorCache(IDENTITY, tmp_path).add({ONE: vector(1)})
    kept = segments(tmp_path)[0]
    (kept.parent / "gone.npy").symlink_to(tmp_path / "nothing")
    assert clean(0, tmp_path) > 0
    assert not kept.exists()
