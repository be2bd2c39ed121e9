"""A table's file as Arrow columns of text, read in blocks: the file itself never stands in memory."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from deft import files
from deft.errors import InputRefused

TAIL = 65_536
LONGEST_HEADER = 1_048_576


def read_text_columns(path: Path, required: Sequence[str]) -> Any:
    """Read a CSV as an Arrow table of text; see `text_blocks` for what is refused."""
    return _share_empty(pa.Table.from_batches(text_blocks(path, required)))


def text_blocks(path: Path, required: Sequence[str]) -> Iterator[Any]:
    """Yield a CSV as Arrow record batches of text; the header's names lose outer blanks.

    Refused: a file that is missing, too large or not UTF-8, a header without a required name or with one
    twice, no rows, and rows with too few or too many cells. Line ends behind the last row are no rows.
    """
    try:
        with open(path, "rb") as stream:
            if os.fstat(stream.fileno()).st_size > files.MAX_TEXT_BYTES:
                raise InputRefused("file is too large to read as text", value=path)
            yield from _blocks(stream, required, path)
    except (OSError, UnicodeDecodeError):
        files.read_text(path)  # says what is wrong with the file
        raise


def _blocks(stream: BinaryIO, required: Sequence[str], path: Path) -> Iterator[Any]:
    begin = len(codecs.BOM_UTF8) if stream.read(3) == codecs.BOM_UTF8 else 0
    end = _end(stream, begin)
    stream.seek(begin)
    first = stream.readline(min(end - begin, LONGEST_HEADER))
    if len(first) == LONGEST_HEADER:
        raise InputRefused(f"table's header has {LONGEST_HEADER} bytes or more", value=path)
    header = _header_names(first.decode("utf-8").rstrip("\r\n"), required, path)
    if not first.endswith(b"\n"):
        raise InputRefused("table has no rows", value=path)
    return _parsed(_Span(stream, begin, end), header, path)


def _end(stream: BinaryIO, begin: int) -> int:
    """Return where the text ends but for the line ends behind it."""
    end = stream.seek(0, os.SEEK_END)
    while end > begin:
        start = stream.seek(max(begin, end - TAIL))
        if tail := stream.read(end - start).rstrip(b"\r\n"):
            return start + len(tail)
        end = start
    return begin


class _Span(io.RawIOBase):
    """The bytes of a file between two places."""

    def __init__(self, stream: BinaryIO, begin: int, end: int) -> None:
        stream.seek(begin)
        self._stream, self._end = stream, end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(min(len(buffer), self._end - self._stream.tell()))
        buffer[: len(block)] = block
        return len(block)


def _header_names(first: str, required: Sequence[str], path: Path) -> list[str]:
    files.require_few_columns(first, path)
    try:
        header = next(csv.reader(io.StringIO(first)), [])
    except csv.Error as error:
        raise InputRefused(f"table's header is not readable CSV ({error})", value=path) from None
    names = [name.strip() for name in header]
    missing = [name for name in required if name not in names]
    if missing:
        raise InputRefused(
            f"table lacks {', '.join(missing)} (it has {', '.join(names)[:200] or 'no columns'})",
            value=path,
            hint=f"required are {', '.join(required)}, spelled so and separated by commas",
        )
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputRefused(f"table has a column twice ({', '.join(doubled)})", value=path)
    return names


def _parsed(text: io.RawIOBase, header: Sequence[str], path: Path) -> Iterator[Any]:
    """Yield record batches of text columns; a row with too few or too many cells is refused."""
    ragged: list[Any] = []

    def keep(row: Any) -> str:
        ragged.append(row)
        return "skip"

    try:
        for block in pa.csv.open_csv(
            text,
            read_options=pa.csv.ReadOptions(use_threads=False, column_names=list(header), skip_rows=1),
            parse_options=pa.csv.ParseOptions(
                newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=keep
            ),
            convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.large_string())),
        ):
            if not ragged:
                yield block
    except pa.ArrowInvalid as error:
        files.read_text(path)  # a file that is no text is told as such
        raise InputRefused(f"table is not readable CSV ({str(error)[:200]})", value=path) from None
    if ragged:
        raise _ragged(ragged[0], path)


def _ragged(row: Any, path: Path) -> InputRefused:
    fact = f"row {row.number} has {row.actual_columns} cells, the header has {row.expected_columns}"
    return InputRefused(fact, value=path, hint="quote a cell that holds a comma")


def _share_empty(table: Any) -> Any:
    """Let all columns without a letter be one: most of the fourteen are empty, and each takes memory."""
    empty = [name for name in table.column_names if not pc.max(pc.binary_length(table[name])).as_py()]
    if not empty:
        return table
    column = pa.repeat(pa.scalar("", pa.large_string()), len(table))
    kept = {name: column if name in empty else table[name] for name in table.column_names}
    return pa.table(kept)
