from __future__ import annotations

from pathlib import Path

import pytest

from deft import files
from deft.errors import InputRefused


@pytest.mark.parametrize("rows", ["PASS,0.1,zz\nopen,0.9\n", "PASS,0.1\nopen,0.9,zz\n"])
def test_a_row_with_a_surplus_cell_is_refused_and_never_shifted(rows: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("label,siamese_score\n" + rows)
    with pytest.raises(InputRefused):
        files.read_csv(path)
