"""The recorded cases of `gap_analysis vcn_aoi` end here as they ended in the container."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from conformance import Ended, case_names, run_case

REFUSALS = {
    "002": "No threshold achieves 100% recall on the NO_PASS class.",
    "031": "could not convert string to float: 'abc'",
    "034": "'NoneType' object is not iterable",
    "055": "Error merging override top_k_per_label=2.5",
    "064": "'object_name'",
    "065": "'label'",
    "068": "No columns to parse from file",
    "073": "'label'",
    "076": "Error merging 'spec.yaml' with schema\nKey 'top_k' not in",
    "077": "Could not override 'inference_csv'.",
    "079": "Missing mandatory value: results_dir",
    "080": "Missing mandatory value: train_config",
    "082": "Could not append to config. An item is already at 'top_k_per_label'.",
}
FLOATS = {"rtol": 0, "atol": 1e-12}


@pytest.mark.parametrize("name", case_names("gap"))
def test_a_recorded_gap_analysis_gives_the_same_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run_case("gap", name, tmp_path, monkeypatch, capsys)
    assert ended.code == ended.expected["returncode"], ended.text
    assert ended.files() == set(ended.expected["files"])
    assert ended.text.endswith(f"Execution status: {'FAIL' if ended.code else 'PASS'}\n")
    if ended.code:
        assert REFUSALS.get(name[:3], "ERROR ") in ended.text
        assert "Traceback" not in ended.text
    assert ended.text.startswith(ended.expected.get("stdout", ""))
    for file in ended.expected["files"]:
        _compare(ended, file)


def _compare(ended: Ended, file: str) -> None:
    if not file.endswith(".parquet"):
        assert (ended.out / file).read_bytes() == (ended.expected_folder / file).read_bytes()
        return
    recorded, written = ended.tables(file)
    assert list(written.columns) == list(recorded.columns)
    ties = ended.expected["ties"]
    if ties["kept_set_undefined"]:
        recorded, written = (table.drop(columns="filepath") for table in (recorded, written))
    if ties["row_order_undefined"]:
        recorded, written = (_in_one_order(table) for table in (recorded, written))
    pd.testing.assert_frame_equal(written, recorded, **FLOATS)


def _in_one_order(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(list(table.columns), ignore_index=True)
