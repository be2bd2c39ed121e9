"""Cells that a spreadsheet would run: refused where they come in, quoted where people open what goes out.

Tables between stages stay verbatim, for a quote would change a path (OWASP "CSV injection").
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# The full-width and small forms are folded to the plain ones by some programs; so is the minus sign.
FORMULA_STARTS = "=+@\t\r＝＋－＠﹦﹢﹣﹫−-"
# Blanks and invisible characters in front are trimmed by some.
FORMULA = rf"^[\p{{Z}}\p{{Cf}}]*[{FORMULA_STARTS}]"
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def is_formula(cells: Any) -> Any:
    """Return, for an arrow column of text, which cells a spreadsheet would run."""
    return pc.match_substring_regex(cells, FORMULA)


def for_people(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table for a person's spreadsheet: `'` stands before text that would be run; numbers stay."""
    shown = table.copy()
    for column in shown.columns:
        if pd.api.types.is_string_dtype(shown[column]):
            cells = pa.array(shown[column].astype("str"), pa.string())
            runs = pc.and_(is_formula(cells), pc.invert(pc.match_substring_regex(cells, NUMBER)))
            shown[column] = shown[column].where(
                ~runs.to_pandas().to_numpy(), "'" + shown[column].astype("str")
            )
    return shown
