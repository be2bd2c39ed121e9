"""The recorded cases of `tmm unique_neighbor_matching` end here as they ended in the container."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from conformance import case_names, run_case

REFUSALS = {"011": "desired_unique_count is required"}


@pytest.mark.parametrize("name", case_names("unm"))
def test_a_recorded_matching_gives_the_same_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run_case("unm", name, tmp_path, monkeypatch, capsys)
    assert ended.code == ended.expected["returncode"], ended.text
    assert ended.files() == set(ended.expected["files"])
    if ended.code:
        assert REFUSALS.get(name[:3], "ERROR ") in ended.text
        assert "Traceback" not in ended.text
    for file in ended.expected["files"]:
        if file.endswith(".parquet"):
            recorded, written = ended.tables(file)
            pd.testing.assert_frame_equal(written, recorded, rtol=0, atol=1e-6)
        else:
            written_record = json.loads((ended.out / file).read_text())
            recorded_record = json.loads((ended.expected_folder / file).read_text())
            assert list(written_record) == list(recorded_record)
            assert _figures(written_record) == pytest.approx(_figures(recorded_record), abs=1e-6)


def _figures(record: Any, name: str = "") -> dict[str, Any]:
    if isinstance(record, dict):
        return {k: v for key in record for k, v in _figures(record[key], f"{name}.{key}").items()}
    return {name: json.dumps(record) if isinstance(record, list | str) else record}
