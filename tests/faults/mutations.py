"""Hypothesis strategies that spoil a valid file: as bytes, as lines, as a record, as a table."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from hypothesis import strategies as st

Spoil = Callable[[bytes], bytes]

INSERTED = (
    *(b"\xef\xbb\xbf", b"\0", b"\n", b"\r", b"\r\n", b'"', b",", b"\xff", b"\xe2\x80\xae", b"\\", b"{", b"]"),
    *(
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"9" * 400,
        b"=cmd|' /C calc'!A0",
        b"../../",
        b": ",
        b"- ",
        b"*a ",
        b"&a ",
    ),
)
PLANTED = (
    *(None, True, -1, 0, 1.5, 1e308, float("nan"), float("inf"), 10**30, "", "nan", "../../etc", "x" * 5_000),
    *([], {}, [[]], {"": None}, [None] * 3, "\0", "\udcff", "<b>"),
)
MEGABYTE = b"x" * 2**20
DEEP = 100_000
NAMES = st.integers(0, 10**9)


def _at(content: bytes, place: int) -> int:
    return place % (len(content) + 1)


def _cut(place: int) -> Spoil:
    return lambda content: content[: _at(content, place)]


def _flip(place: int) -> Spoil:
    def flip(content: bytes) -> bytes:
        spoilt = bytearray(content or b"\0")
        spoilt[place % len(spoilt)] ^= 1 << place % 8
        return bytes(spoilt)

    return flip


def _insert(place: int, what: bytes) -> Spoil:
    return lambda content: content[: _at(content, place)] + what + content[_at(content, place) :]


def _lines(place: int, how: str) -> Spoil:
    def change(content: bytes) -> bytes:
        lines = content.split(b"\n")
        here, there = place % len(lines), place // 7 % len(lines)
        if how == "drop":
            del lines[here]
        elif how == "double":
            lines.insert(here, lines[there])
        else:
            lines[here], lines[there] = lines[there], lines[here]
        return b"\n".join(lines)

    return change


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


WHOLE: dict[str, Spoil] = {
    "nothing": lambda content: b"",
    "blanks": lambda content: b" \n\n",
    "UTF-16": lambda content: _text(content).encode("utf-16"),
    "UTF-32": lambda content: _text(content).encode("utf-32"),
    "BOM": lambda content: b"\xef\xbb\xbf" + content,
    "CRLF": lambda content: content.replace(b"\n", b"\r\n"),
    "old Macintosh": lambda content: content.replace(b"\n", b"\r"),
    "first line alone": lambda content: content.split(b"\n")[0] + b"\n",
    "twice": lambda content: content + content,
    "deep lists": lambda content: b"[" * DEEP,
    "deep records": lambda content: b'{"a":' * DEEP,
    "zeroes": lambda content: b"\0" * len(content),
}
BYTES: st.SearchStrategy[Spoil] = st.one_of(
    NAMES.map(_cut),
    NAMES.map(_flip),
    st.builds(_insert, NAMES, st.sampled_from(INSERTED)),
    NAMES.map(lambda place: _insert(place, MEGABYTE)),
    st.builds(_lines, NAMES, st.sampled_from(["drop", "double", "swap"])),
    st.sampled_from(sorted(WHOLE)).map(WHOLE.__getitem__),
)


# --- records -----------------------------------------------------------------------------------


def _places(record: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = (
        record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    )
    for key, value in items:
        yield from _places(value, (*path, key))


def _plant(record: Any, place: int, value: Any, drop: bool) -> Any:
    """Put a value, or nothing, in one of the places of a record."""
    places = list(_places(record))
    path = places[place % len(places)]
    if not path:
        return value
    spoilt = copy.deepcopy(record)
    inner = spoilt
    for key in path[:-1]:
        inner = inner[key]
    if drop:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return spoilt


def records(load: Callable[[str], Any], dump: Callable[[Any], str]) -> st.SearchStrategy[Spoil]:
    """Return spoilers of one record in a text format."""

    def spoiler(place: int, value: Any, drop: bool) -> Spoil:
        return lambda content: dump(_plant(load(_text(content)), place, value, drop)).encode(
            "utf-8", "surrogatepass"
        )

    return st.builds(spoiler, NAMES, st.sampled_from(PLANTED), st.booleans())


def _one_line(spoil_record: Spoil, place: int) -> Spoil:
    def spoil(content: bytes) -> bytes:
        lines = content.splitlines()
        here = place % len(lines)
        lines[here] = spoil_record(lines[here])
        return b"\n".join(lines) + b"\n"

    return spoil


JSON_RECORDS = records(json.loads, json.dumps)
YAML_RECORDS = records(yaml.safe_load, lambda record: yaml.dump(record, allow_unicode=True))
JSON_LINES = st.builds(_one_line, JSON_RECORDS, NAMES)
YAML_TRICKS: st.SearchStrategy[Spoil] = st.sampled_from(
    [
        b"a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
        + b"".join(
            b"%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n" % (name, name, *[name - 1] * 9)
            for name in range(ord("c"), ord("m"))
        ),
        b"a: 1\na: 2\n",
        b"a: !!python/object/apply:os.getpid []\n",
        b"<<: *nobody\n",
        b"? [a, b]\n: c\n",
        b"? {a: b}\n: c\n",
        b"a: 0x" + b"f" * 20_000 + b"\n",
        b"1: a\ntrue: b\nnull: c\n2026-01-01: d\n",
        b"a: 1:60:60\nb: 1_000\nc: .inf\nd: .nan\ne: 2026-13-45\n",
    ]
).map(lambda trick: lambda content: trick)


# --- tables of types ----------------------------------------------------------------------------

COLUMNS: dict[str, Callable[[pd.Series], Any]] = {
    "numbers": lambda column: range(len(column)),
    "not numbers": lambda column: [float("nan")] * len(column),
    "infinite": lambda column: [float("inf")] * len(column),
    "nothing": lambda column: [None] * len(column),
    "flags": lambda column: [True] * len(column),
    "empty": lambda column: [""] * len(column),
    "bytes": lambda column: [b"\xff\0"] * len(column),
    "moments": lambda column: pd.Timestamp("2026-01-01"),
    "lists": lambda column: [[1.0, 2.0]] * len(column),
    "ragged lists": lambda column: [[1.0] * (row % 3) for row in range(len(column))],
    "lists with a hole": lambda column: [[1.0, None]] * len(column),
    "infinite lists": lambda column: [[float("inf"), float("nan")]] * len(column),
    "records": lambda column: [{"a": 1}] * len(column),
    "one text": lambda column: ["../../same"] * len(column),
    "long texts": lambda column: ["x" * 100_000] * len(column),
}


def _retype(path: Path, place: int, kind: str, size: int) -> Spoil:
    def retype(content: bytes) -> bytes:
        path.write_bytes(content)
        table = pd.read_parquet(path)
        name = table.columns[place % len(table.columns)]
        if kind == "drop":
            table = table.drop(columns=name)
        else:
            table[name] = COLUMNS[kind](table[name])
        table.head(size).to_parquet(path)
        return path.read_bytes()

    return retype


def tables(path: Path) -> st.SearchStrategy[Spoil]:
    """Return spoilers of the types and rows of a Parquet table; `path` is a place to work in."""
    kinds = st.sampled_from([*COLUMNS, "drop"])
    return st.builds(lambda *given: _retype(path, *given), NAMES, kinds, st.sampled_from([0, 1, 10**6]))
