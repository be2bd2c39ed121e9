"""A picture is known by its pixels, not by its name or its encoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deft.errors import InputRefused
from deft.workspace import pixels
from deft.workspace.pixels import Picture, PictureReader, difference_hash, read_picture


def save(path: Path, array: np.ndarray, **options: object) -> str:
    Image.fromarray(array.astype(np.uint8)).save(path, **options)
    return str(path)


@pytest.fixture
def ramp() -> np.ndarray:
    return np.tile(np.arange(0, 252, 7), (32, 1))


def test_equal_pixels_have_one_hash_whatever_the_file_is(tmp_path: Path, ramp: np.ndarray) -> None:
    hashes = {
        read_picture(save(tmp_path / "a.png", ramp)).pixels,
        read_picture(save(tmp_path / "b.png", ramp, compress_level=0)).pixels,
        read_picture(save(tmp_path / "c.bmp", np.stack([ramp] * 3, axis=2))).pixels,
    }
    assert len(hashes) == 1


def test_one_other_pixel_or_another_shape_is_another_picture(tmp_path: Path, ramp: np.ndarray) -> None:
    other = ramp.copy()
    other[0, 0] += 1
    arrays = {"a": ramp, "b": other, "c": ramp.reshape(36, 32)}
    assert (
        len({read_picture(save(tmp_path / f"{name}.png", array)).pixels for name, array in arrays.items()})
        == 3
    )


def test_the_difference_hash_tells_rising_from_flat_and_ignores_small_steps(ramp: np.ndarray) -> None:
    def hash_of(array: np.ndarray) -> int:
        return difference_hash(Image.fromarray(array.astype(np.uint8)))

    assert hash_of(ramp) == 2**64 - 1
    assert hash_of(np.full((32, 36), 9)) == 0
    assert hash_of(ramp // 20) == 0


def test_a_picture_of_one_colour_is_uniform(tmp_path: Path, ramp: np.ndarray) -> None:
    assert read_picture(save(tmp_path / "a.png", np.full((9, 9), 40))).is_uniform
    assert not read_picture(save(tmp_path / "b.png", ramp)).is_uniform


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what is decoded, by a process that remembers nothing yet."""
    paths: list[str] = []
    read = pixels.read_picture
    monkeypatch.setattr(pixels, "_REMEMBERED", {})
    monkeypatch.setattr(pixels, "read_picture", lambda path: paths.append(path) or read(path))
    return paths


def test_one_content_is_decoded_once_under_all_its_names(
    tmp_path: Path, ramp: np.ndarray, decoded: list[str]
) -> None:
    paths = [save(tmp_path / f"{n}.png", ramp) for n in range(3)]
    reader = PictureReader()
    assert len({reader.picture(path).pixels for path in paths}) == 1
    assert decoded == paths[:1]


def test_the_next_reader_hashes_anew_and_decodes_only_new_content(
    tmp_path: Path, ramp: np.ndarray, decoded: list[str]
) -> None:
    path = save(tmp_path / "a.png", ramp)
    first = PictureReader().picture(path)
    assert PictureReader().picture(path) == first
    assert decoded == [path]
    save(tmp_path / "a.png", 255 - ramp)
    assert PictureReader().picture(path).pixels != first.pixels
    assert decoded == [path, path]


def test_what_changed_while_it_was_decoded_is_not_remembered(
    tmp_path: Path, ramp: np.ndarray, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = save(tmp_path / "a.png", ramp), pixels.read_picture

    def changed(path: str) -> Picture:
        save(tmp_path / "a.png", 255 - ramp)
        return read(path)

    monkeypatch.setattr(pixels, "read_picture", changed)
    PictureReader().picture(path)
    assert not pixels._REMEMBERED


def test_a_process_remembers_a_bounded_number_of_pictures(
    tmp_path: Path, ramp: np.ndarray, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "MOST_REMEMBERED", 2)
    for number in range(5):
        PictureReader().picture(save(tmp_path / f"{number}.png", ramp + number))
    assert len(pixels._REMEMBERED) <= 2


def test_a_picture_that_is_missing_or_broken_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and nothing")
    for name in ("broken.png", "absent.png"):
        with pytest.raises(InputRefused, match=name):
            PictureReader().read_all([str(tmp_path / name)])
