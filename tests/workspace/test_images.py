from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deft.errors import InputRefused
from deft.workspace import images
from deft.workspace.images import open_image


def save(path: Path, mode: str = "RGB", size: tuple[int, int] = (40, 30), **options: object) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif"])
def test_the_four_formats_open_as_rgb(tmp_path: Path, suffix: str) -> None:
    image = open_image(save(tmp_path / f"a{suffix}"))
    assert (image.mode, image.size) == ("RGB", (40, 30))


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA"])
def test_grey_palette_and_alpha_images_become_rgb(tmp_path: Path, mode: str) -> None:
    assert open_image(save(tmp_path / "a.png", mode)).mode == "RGB"


def test_a_palette_with_partial_transparency_becomes_rgb_without_a_warning(tmp_path: Path) -> None:
    save(tmp_path / "a.png", "P", transparency=bytes([0, 128, 255]))
    assert open_image(tmp_path / "a.png").mode == "RGB"


def test_the_orientation_tag_is_ignored_because_the_golden_has_none(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_image(save(tmp_path / "a.jpg", exif=exif)).size == (40, 30)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_truncated_image_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"cut{suffix}", size=(200, 200))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputRefused, match=path.name):
        open_image(path)


@pytest.mark.parametrize("content", [b"", b"not an image", b"GIF89a" + bytes(40), b"%!PS-Adobe-3.0 EPSF-3.0"])
def test_what_is_no_image_or_another_format_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.png"
    path.write_bytes(content)
    with pytest.raises(InputRefused, match=r"cannot be read.*\n?.*odd.png"):
        open_image(path)


def test_a_missing_image_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "none.png", tmp_path, tmp_path / "pipe.png"):
        with pytest.raises(InputRefused, match="does not exist"):
            open_image(path)


def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 1199)
    with pytest.raises(InputRefused, match="pixels"):
        open_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputRefused, match="pixels"):
        open_image(path)


def test_sixteen_bit_images_are_refused_rather_than_clipped(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(path)
    with pytest.raises(InputRefused, match="8 bits"):
        open_image(path)


def test_pixels_come_in_the_order_of_the_paths_at_one_size(tmp_path: Path) -> None:
    paths = []
    for shade in range(0, 250, 10):
        path = tmp_path / f"{shade}.png"
        Image.new("RGB", (30 + shade, 20), (shade, 0, 255 - shade)).save(path)
        paths.append(path)
    pixels = images.read_pixels(paths, width=16, height=8)
    assert (pixels.shape, pixels.dtype) == ((25, 8, 16, 3), np.uint8)
    assert pixels[:, 0, 0, 0].tolist() == list(range(0, 250, 10))


def test_one_unreadable_image_among_many_is_named(tmp_path: Path) -> None:
    good = save(tmp_path / "good.png")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no")
    with pytest.raises(InputRefused, match=r"bad\.png"):
        images.read_pixels([good, bad, good], width=8, height=8)
