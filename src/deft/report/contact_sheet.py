"""A sheet of small pictures in rows, each with its caption: weakest pairs, or a target and its neighbours."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

_INK, _PAPER, _RULE, _ABSENT = "#222222", "#FFFFFF", "#D5D9DE", "#EEF0F2"
_MARGIN, _GAP, _CAPTION, _HEADING = 14, 10, 34, 26
_FONT_SIZE = 12


@dataclass(frozen=True)
class Tile:
    """One picture (None where it could not be read) and up to two lines below it."""

    image: Image.Image | None
    caption: str = ""


@dataclass(frozen=True)
class SheetRow:
    """One line of a sheet: what it shows, and its pictures from left to right."""

    heading: str
    tiles: Sequence[Tile]


def contact_sheet(rows: Sequence[SheetRow], *, tile: int = 160) -> bytes:
    """Return a PNG of the rows; pictures keep their proportions in squares of `tile` pixels.

    Texts that do not fit are cut with an ellipsis. An empty sheet says so.
    """
    columns = max((len(row.tiles) for row in rows), default=2)
    height_of_row = _HEADING + tile + _CAPTION + _GAP
    width = 2 * _MARGIN + max(columns, 2) * (tile + _GAP) - _GAP
    sheet = Image.new("RGB", (width, 2 * _MARGIN + max(len(rows), 1) * height_of_row - _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT_SIZE)
    if not rows:
        pen.text((_MARGIN, _MARGIN), "nothing to show", _INK, font)
    for i, row in enumerate(rows):
        _draw_row(sheet, pen, font, row, _MARGIN + i * height_of_row, tile)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=False)
    return buffer.getvalue()


def _draw_row(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, font: _Font, row: SheetRow, top: int, tile: int
) -> None:
    right = sheet.width - _MARGIN
    pen.line((_MARGIN, top, right, top), _RULE)
    pen.text((_MARGIN, top + 6), _fitted(pen, font, row.heading, right - _MARGIN), _INK, font)
    for i, item in enumerate(row.tiles):
        left = _MARGIN + i * (tile + _GAP)
        _paste(sheet, pen, font, item.image, left, top + _HEADING, tile)
        for line, text in enumerate(item.caption.split("\n")[:2]):
            place = (left, top + _HEADING + tile + 3 + line * (_FONT_SIZE + 3))
            pen.text(place, _fitted(pen, font, text, tile), _INK, font)


_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def _paste(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    font: _Font,
    image: Image.Image | None,
    x: int,
    y: int,
    tile: int,
) -> None:
    pen.rectangle((x, y, x + tile - 1, y + tile - 1), _ABSENT, _RULE)
    if image is None:
        pen.text((x + 8, y + tile // 2 - 8), "not readable", _INK, font)
        return
    scale = min(tile / image.width, tile / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    method = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
    drawn = image.convert("RGB").resize(size, method)
    sheet.paste(drawn, (x + (tile - size[0]) // 2, y + (tile - size[1]) // 2))


def _fitted(pen: ImageDraw.ImageDraw, font: _Font, text: str, width: int) -> str:
    """Cut a text until it fits; what cannot be printed is shown as a question mark."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if pen.textlength(text, font) <= width:
        return text
    while text and pen.textlength(text + "…", font) > width:
        text = text[:-1]
    return text + "…"
