from __future__ import annotations

import io

from PIL import Image

from deft.report.contact_sheet import SheetRow, Tile, contact_sheet


def pixel(sheet: bytes, x: int, y: int) -> tuple[int, ...]:
    return Image.open(io.BytesIO(sheet)).getpixel((x, y))


def test_a_sheet_shows_each_picture_in_its_place_in_proportion() -> None:
    red, blue = Image.new("RGB", (8, 8), "#FF0000"), Image.new("L", (4, 8), 10)
    sheet = contact_sheet([SheetRow("one", [Tile(red, "crop"), Tile(blue, "golden")])], tile=100)
    left, top = 14, 14 + 26
    assert pixel(sheet, left + 50, top + 50) == (255, 0, 0)
    assert pixel(sheet, left + 110 + 50, top + 50) == (10, 10, 10)
    assert pixel(sheet, left + 110 + 10, top + 50) == (0xEE, 0xF0, 0xF2)


def test_a_sheet_says_what_cannot_be_read_and_cuts_what_does_not_fit() -> None:
    absent = contact_sheet([SheetRow("x" * 500, [Tile(None, "y" * 500), Tile(None, "line\nsecond\nthird")])])
    assert absent == contact_sheet([SheetRow("x" * 500, [Tile(None, "y" * 400), Tile(None, "line\nsecond")])])


def test_an_empty_sheet_is_a_picture_too() -> None:
    assert Image.open(io.BytesIO(contact_sheet([]))).size[0] > 100
