"""The recorded cases of `tmm nearest_neighbors` end here as they ended in the container."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from conformance import case_names, difference, run_case

REFUSALS = {
    "034": "k or n_neighbors must be a positive integer",
    "046": "'filepath'",
    "052": "table has no vectors",
    "055": "Missing mandatory value: output_parquet",
    "056": "Could not override 'min_similarity'.",
}


@pytest.mark.parametrize("name", case_names("knn"))
def test_a_recorded_search_gives_the_same_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run_case("knn", name, tmp_path, monkeypatch, capsys)
    if "n_neighbors must be <=" in str(ended.expected["error"]):
        assert difference("topn-uses-pool")
        assert ended.code == 0
        return
    assert ended.code == ended.expected["returncode"], ended.text
    assert ended.files() == set(ended.expected["files"])
    assert all(warning in ended.text for warning in ended.expected["warnings"])
    if ended.code:
        assert REFUSALS.get(name[:3], "ERROR ") in ended.text
        assert "Traceback" not in ended.text
        return
    assert (ended.out / "mining_summary.txt").read_bytes() == (
        ended.expected_folder / "mining_summary.txt"
    ).read_bytes()
    recorded, written = ended.tables("mined.parquet")
    if ended.expected["tie_order_undefined"]:
        recorded, written = (
            table.sort_values("filepath", ignore_index=True) for table in (recorded, written)
        )
    pd.testing.assert_frame_equal(written, recorded)
