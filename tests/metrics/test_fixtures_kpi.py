"""Every recorded case of the public KPI analysis, but for the differences listed in references."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from deft.errors import DeftError
from deft.files import read_yaml
from deft.metrics.kpi_files import analyze

REPOSITORY = Path(__file__).resolve().parents[2]
CASES = REPOSITORY.parent / "shared" / "fixtures" / "tao" / "kpi"
NAMES = sorted(path.name for path in CASES.iterdir()) if CASES.is_dir() else []
OPTIONS = {
    "--label-column": "label_column",
    "--score-column": "score_column",
    "--pass-label": "pass_label",
    "--bins": "bins",
}
DECIMALS = re.compile(r"(?<=threshold: )-?[0-9][0-9.e+-]*")
FILES_WRITTEN = re.compile(r"(?s)\nFiles written:.*|\n(Plots? ?(skipped|:)).*")

# cases that end otherwise on purpose: the id of the difference
REFUSED_HERE = {"021": "nan-score-refused", "038": "bins-checked-first"}
ACCEPTED_HERE = {"029": "surplus-cells-dropped", "033": "byte-order-mark-dropped"}
IN_THE_TEXTS = ("full-precision-kpi-texts", "kpi-pictures-always", "kpi-json-written")


def arguments(case: Path) -> dict[str, Any]:
    given = json.loads((case / "args.json").read_text())["argv"]
    pairs = {OPTIONS[flag]: given[i + 1] for i, flag in enumerate(given) if flag in OPTIONS}
    return {key: int(value) if key == "bins" else value for key, value in pairs.items()}


def rounded(text: str) -> str:
    return DECIMALS.sub(lambda match: f"{float(match.group()):.6f}", text)


def cells(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_case_gives_the_same_files_and_lines(name: str, tmp_path: Path) -> None:
    case, number = CASES / name, name[:3]
    expected = json.loads((case / "expected.json").read_text())
    table = case / "input" / "inference.csv"
    succeeds = (expected["returncode"] == 0 or number in ACCEPTED_HERE) and number not in REFUSED_HERE
    if not succeeds:
        with pytest.raises(DeftError):
            analyze(table, tmp_path, **arguments(case))
        assert list(tmp_path.iterdir()) == []
        return
    result = analyze(table, tmp_path, **arguments(case))
    assert set(expected["files"]) <= {path.name for path in result["files"]}
    if expected["returncode"] == 0:
        compare(case, tmp_path, result["lines"])


def compare(case: Path, out: Path, lines: list[str]) -> None:
    def expected(name: str) -> str:
        return (case / "expected" / name).read_bytes().decode()

    metrics = "threshold_metrics.csv"
    assert (out / metrics).read_bytes().decode() == expected(metrics)
    assert summary(rounded((out / "summary.txt").read_text())) == summary(expected("summary.txt"))
    printed = "\n".join(lines).replace(str(out), "<CASE>/out").replace(str(case), "<CASE>")
    assert summary(rounded(printed)) == summary(expected("stdout.txt").rstrip("\n"))
    review = "best_f1_missed_no_pass_samples.csv"
    assert six_decimals(cells((out / review).read_bytes().decode())) == cells(expected(review))


def summary(text: str) -> str:
    """Drop the list of pictures: the originals ran where no plotting library was."""
    return FILES_WRITTEN.sub("", text)


def six_decimals(rows: list[list[str]]) -> list[list[str]]:
    header = rows[0]
    places = [header.index("analysis_score"), header.index("analysis_threshold")]
    return [header] + [
        [f"{float(cell):.6f}" if i in places else cell for i, cell in enumerate(row)] for row in rows[1:]
    ]


def test_the_recorded_cases_are_there(shared: Path) -> None:
    assert len(NAMES) >= 26


def test_every_difference_that_a_case_relies_on_is_written_down() -> None:
    written = {entry["id"] for entry in read_yaml(REPOSITORY / "references" / "tao-differences.yaml")}
    assert {*REFUSED_HERE.values(), *ACCEPTED_HERE.values(), *IN_THE_TEXTS} <= written
