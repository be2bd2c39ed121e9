"""Pictures of a page: small, re-encoded, inside the page."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from deft.report.pictures import THUMBNAIL, drawn, png_address, thumbnail


def decoded(address: str) -> Image.Image:
    head, _, content = address.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_a_picture_becomes_a_small_square_of_its_own_colours(tmp_path):
    path = tmp_path / "large.png"
    Image.new("RGB", (640, 640), (200, 40, 10)).save(path)
    picture = decoded(thumbnail(path))
    assert (picture.format, picture.size) == ("JPEG", (THUMBNAIL, THUMBNAIL))
    assert np.allclose(np.asarray(picture).reshape(-1, 3).mean(0), (200, 40, 10), atol=6)


def test_a_tiny_picture_is_enlarged_without_blurring(tmp_path):
    path = tmp_path / "tiny.png"
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0] = pixels[1, 1] = 255
    Image.fromarray(pixels).save(path)
    shown = np.asarray(decoded(thumbnail(path)).convert("L"))
    assert shown.shape == (THUMBNAIL, THUMBNAIL)
    assert shown[10, 10] > 240
    assert shown[10, -10] < 15


def test_what_a_picture_says_of_itself_does_not_travel(tmp_path):
    path = tmp_path / "camera.jpg"
    exif = Image.Exif()
    exif[0x010E] = "secret of the line"
    Image.new("RGB", (20, 20)).save(path, exif=exif)
    assert b"secret" not in base64.b64decode(thumbnail(path).partition(",")[2])


@pytest.mark.parametrize("content", [None, b"", b"<svg onload='alert(1)'/>", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_an_empty_square(tmp_path, content):
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    colours = decoded(thumbnail(path)).getcolors()
    assert [colour for _, colour in colours] == [(221, 221, 221)]


def test_a_picture_that_was_replaced_is_shown_anew(tmp_path):
    path = tmp_path / "board.png"
    Image.new("RGB", (20, 20), "white").save(path)
    before = thumbnail(path)
    assert thumbnail(path) is before
    Image.new("RGB", (20, 20), "black").save(path)
    assert decoded(thumbnail(path)).getpixel((0, 0)) == (0, 0, 0)


def test_a_chart_is_kept_byte_for_byte():
    assert (
        base64.b64decode(png_address(b"\x89PNG chart").removeprefix("data:image/png;base64,"))
        == b"\x89PNG chart"
    )


def test_a_chart_of_the_same_data_is_drawn_once_and_of_other_data_anew() -> None:
    calls = []

    def draw(data: object, *, title: str) -> bytes:
        calls.append(title)
        return f"{title} {data}".encode()

    for _ in range(2):
        assert drawn(draw, np.arange(3), title="a") == png_address(b"a [0 1 2]")
    assert drawn(draw, np.arange(2), title="a") != drawn(draw, np.arange(3), title="b")
    assert calls == ["a", "a", "b"]
