"""Whichever way a table becomes CSV, the bytes are those of pandas."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deft import csv_text
from deft.csv_text import csv_blocks

CELLS = st.text(alphabet=st.sampled_from("aé,\"'\n\r\t; -0N\\"), max_size=4) | st.none()
NAMES = st.lists(
    st.text(alphabet=st.sampled_from('ab,"\n '), max_size=3), min_size=1, max_size=3, unique=True
)


@given(names=NAMES, data=st.data())
def test_the_bytes_are_those_of_pandas(names: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(*[CELLS] * len(names)), max_size=4))
    table = pd.DataFrame(rows, columns=names, dtype="str")
    assert b"".join(csv_blocks(table)) == table.to_csv(index=False, lineterminator="\n").encode()


def test_numbers_and_several_blocks_are_written_as_by_pandas(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_text, "BLOCK_ROWS", 2)
    table = pd.DataFrame({"a": list("vwxyz"), "b": list("12345")}, dtype="str")
    assert b"".join(csv_blocks(table)) == b"a,b\nv,1\nw,2\nx,3\ny,4\nz,5\n"
    assert b"".join(csv_blocks(table.assign(c=0.1))).startswith(b"a,b,c\nv,1,0.1\n")


def test_plain_text_goes_past_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame({"a": ["x"], "b": ["y"]}, dtype="str")
    monkeypatch.setattr(csv_text, "_quoted_bytes", None)
    assert b"".join(csv_blocks(table)) == b"a,b\nx,y\n"
