"""A table's file is read in blocks, to the last letter and not beyond."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft.errors import InputRefused
from deft.workspace import text_columns
from deft.workspace.text_columns import read_text_columns, text_blocks


@pytest.fixture
def table(tmp_path: Path):
    def write(content: bytes) -> Path:
        (tmp_path / "table.csv").write_bytes(content)
        return tmp_path / "table.csv"

    return write


def refusal_of(path: Path) -> str:
    with pytest.raises(InputRefused) as caught:
        read_text_columns(path, ["a"])
    return str(caught.value)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n" * 200_000])
def test_line_ends_behind_the_last_row_are_no_rows(table, end: bytes) -> None:
    assert read_text_columns(table(b"a,b\nx,y" + end), ["a"]).to_pydict() == {"a": ["x"], "b": ["y"]}


def test_names_lose_their_blanks_and_a_mark_before_them(table) -> None:
    assert read_text_columns(table(b"\xef\xbb\xbf a , b\n1,2\n"), ["a"]).column_names == ["a", "b"]


def test_a_large_table_comes_in_several_blocks_with_every_row(table) -> None:
    lines = [f"row {n},{'x' * 90}" for n in range(30_000)]
    path = table("\n".join(["a,b", *lines]).encode())
    blocks = list(text_blocks(path, ["a"]))
    assert len(blocks) > 1
    assert [cell for block in blocks for cell in block["a"].to_pylist()] == [
        f"row {n}" for n in range(30_000)
    ]


def test_columns_without_a_letter_are_empty_text_and_share_their_memory(table) -> None:
    found = read_text_columns(table(b"a,b,c\n" + b"x,,\n" * 1000), ["a"])
    assert found["b"].to_pylist() == [""] * 1000
    assert found["b"].chunk(0).buffers()[1].address == found["c"].chunk(0).buffers()[1].address


@pytest.mark.parametrize("content", [b"a,b\nx,\xff\n", b"\xff,b\nx,y\n"])
def test_what_is_no_text_is_refused_with_the_byte(table, content: bytes) -> None:
    assert "not UTF-8 text" in refusal_of(table(content))


def test_a_file_that_is_missing_a_folder_or_too_large_is_refused(
    table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "does not exist" in refusal_of(tmp_path / "none.csv")
    assert "found a folder" in refusal_of(tmp_path)
    monkeypatch.setattr(text_columns.files, "MAX_TEXT_BYTES", 8)
    assert "too large" in refusal_of(table(b"a,b\nxxxx,y\n"))


def test_a_header_without_an_end_is_refused_before_it_fills_the_memory(
    table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_columns, "LONGEST_HEADER", 64)
    assert "header has 64 bytes or more" in refusal_of(table(b"a" + b" " * 1000 + b"\nx\n"))
