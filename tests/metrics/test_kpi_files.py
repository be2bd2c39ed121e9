from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from deft.errors import InputRefused, UsageError
from deft.metrics.kpi_files import analyze


def table(path: Path, rows: list[str], header: str = "label,siamese_score,input_path,object_name") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_the_record_on_disk_is_the_one_returned(tmp_path: Path) -> None:
    source = table(tmp_path / "in.csv", ["PASS,0.1,a,1", "Open,0.9,a,2", "short,0.8,a,3"])
    result = analyze(source, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "kpi.json").read_text()) == result["kpi"]
    assert sorted(result["kpi"]["per_label"]) == ["open", "short"]
    assert sorted(path.name for path in result["files"]) == sorted(
        path.name for path in (tmp_path / "out").iterdir()
    )


def test_with_one_class_the_record_says_why_there_are_no_figures(tmp_path: Path) -> None:
    kpi = analyze(table(tmp_path / "in.csv", ["open,0.5,a,1"]), tmp_path / "out")["kpi"]
    assert (kpi["pass_rows"], kpi["defect_rows"]) == (0, 1)
    assert "both classes" in kpi["unavailable"]
    assert "far_at_100" not in kpi


def test_a_missed_defect_is_listed_with_its_row_weakest_first(tmp_path: Path) -> None:
    rows = ["open,0.2,a,1", *["PASS,0.5,a,2"] * 5, "open,0.1,a,3", *["open,0.9,a,4"] * 5]
    analyze(table(tmp_path / "in.csv", rows), tmp_path / "out")
    review = pd.read_csv(tmp_path / "out" / "best_f1_missed_no_pass_samples.csv")
    assert review["analysis_row_index"].tolist() == [8, 2]
    assert review["analysis_outcome"].tolist() == ["MISSED_NO_PASS"] * 2


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["PASS,nan,a,1", "open,0.5,a,2"], "row 2"),
        (["PASS,0.1,a,1", "open,,a,2"], "row 3"),
        (["PASS,0.1,a,1", "open"], "row 3"),
        ([], "no rows"),
    ],
)
def test_bad_rows_are_refused_by_number_and_nothing_is_written(
    rows: list[str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputRefused, match=said):
        analyze(table(tmp_path / "in.csv", rows), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="gt"):
        analyze(table(tmp_path / "in.csv", ["PASS,0.1,a,1"]), tmp_path / "out", label_column="gt")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("")
    with pytest.raises(InputRefused, match="lacks label"):
        analyze(tmp_path / "in.csv", tmp_path / "out")


@pytest.mark.parametrize("bins", [0, -3, 10_001])
def test_no_bins_and_more_than_a_picture_can_show_are_refused(tmp_path: Path, bins: int) -> None:
    with pytest.raises(UsageError, match="bin"):
        analyze(tmp_path / "in.csv", tmp_path / "out", bins=bins)


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    source = table(tmp_path / "in.csv", [f"{'open' if i % 3 else 'PASS'},{i / 7},a,{i}" for i in range(40)])
    for name in ("first", "second"):
        analyze(source, tmp_path / name)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
