"""What a table of rows may hold, and what stops it at the door."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deft.errors import InputRefused, UsageError
from deft.workspace import rows
from deft.workspace.rows import ImageLayout

HEADER = "input_path,golden_path,label,object_name"


@pytest.fixture
def table_file(tmp_path: Path):
    def write(*lines: str, header: str = HEADER, end: str = "\n") -> Path:
        path = tmp_path / "table.csv"
        path.write_bytes((end.join([header, *lines]) + end).encode())
        return path

    return write


def refusal_of(path: Path) -> str:
    with pytest.raises(InputRefused) as caught:
        rows.read_table(path)
    return str(caught.value)


# --- labels


@pytest.mark.parametrize(
    "text", ["Pass", "pass", " PASS", "PASS ", "PASS\u00a0", "ＰＡＳＳ", "pAsS\u200b", "P ASS"]
)
def test_a_label_that_differs_from_PASS_only_by_case_width_or_blanks_is_refused(text: str) -> None:
    """B13: the original counted `Pass` as good in the KPI and trained it as a defect."""
    with pytest.raises(InputRefused, match="PASS"):
        rows.normalise_label(text)


def test_a_label_spelt_Pass_in_a_table_is_refused_with_its_row(table_file) -> None:
    """B13: the original counted `Pass` as good in the KPI and trained it as a defect."""
    assert "row 3" in refusal_of(table_file("a,b,PASS,U1", "a,b,Pass,U2"))


def test_other_labels_become_lower_case_without_outer_blanks() -> None:
    assert rows.normalise_label("  Solder Bridge ") == "solder bridge"
    assert rows.normalise_label("PASS") == "PASS"


def test_an_empty_label_is_refused() -> None:
    with pytest.raises(InputRefused, match="empty"):
        rows.normalise_label("  ")


@given(st.text(max_size=12))
def test_a_normalised_label_normalises_to_itself(text: str) -> None:
    try:
        label = rows.normalise_label(text)
    except InputRefused:
        return
    assert rows.normalise_label(label) == label
    assert label == "PASS" or label.strip().lower() != "pass"


def test_is_pass_knows_the_exact_word_only() -> None:
    assert rows.is_pass(pd.Series(["PASS", "pass", "ng"])).tolist() == [True, False, False]
    assert rows.is_pass(pd.Series(["PASS"])).dtype == np.bool_


# --- reading


def test_absent_optional_columns_come_back_empty_and_further_columns_stay_behind(table_file) -> None:
    table = rows.read_table(table_file("x,a,b,Open,U1", header="score," + HEADER))
    assert tuple(table.columns) == (*rows.COLUMNS, "score")
    assert table.iloc[0][["label", "boardname", "score"]].tolist() == ["open", "", "x"]


def test_cells_stay_text_whatever_they_look_like(table_file) -> None:
    table = rows.read_table(table_file("001,1e5,NA,007"))
    assert table.iloc[0][["input_path", "golden_path", "label", "object_name"]].tolist() == [
        "001",
        "1e5",
        "na",
        "007",
    ]


def test_a_byte_order_mark_and_windows_line_ends_are_read(table_file) -> None:
    table = rows.read_table(table_file("a,b,PASS,U1", header="\ufeff" + HEADER, end="\r\n"))
    assert table.loc[0, "object_name"] == "U1"


def test_duplicate_rows_are_allowed(table_file) -> None:
    assert len(rows.read_table(table_file("a,b,PASS,U1", "a,b,PASS,U1"))) == 2


def test_a_missing_required_column_is_refused_naming_both_sides(table_file) -> None:
    message = refusal_of(table_file("a,b", header="input_path,Label"))
    assert "lacks golden_path, label, object_name" in message
    assert "it has input_path, Label" in message


def test_a_column_that_stands_twice_is_refused(table_file) -> None:
    assert "twice (label)" in refusal_of(table_file("a,b,PASS,U1,ng", header=HEADER + ",label"))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_without_rows_is_refused(table_file, end: str) -> None:
    assert "no rows" in refusal_of(table_file(end=end))


@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize("cell", ["", "  "])
def test_an_empty_required_cell_is_refused_with_row_and_column(table_file, column: int, cell: str) -> None:
    cells = ["a", "b", "ng", "U1"]
    cells[column] = cell
    message = refusal_of(table_file("a,b,PASS,U0", ",".join(cells)))
    assert "row 3" in message
    assert rows.REQUIRED[column] in message


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "＝1", "＋1", "－1", "＠a", " =1", "\u200b@a", "﹦1"],
)
@pytest.mark.parametrize("column", range(4))
def test_a_cell_that_a_spreadsheet_would_run_is_refused(table_file, cell: str, column: int) -> None:
    cells = ["a", "b", "ng", "U1"]
    cells[column] = cell
    assert "row 2" in refusal_of(table_file(",".join(cells)))


@pytest.mark.parametrize("cell", ["\ta", "a\x00", "a\x1b[2J", '"a\nb"', "a\x7f"])
def test_a_control_character_is_refused_in_any_column(table_file, cell: str) -> None:
    message = refusal_of(table_file(f"a,b,PASS,U1,{cell}", header=HEADER + ",note"))
    assert "control character in `note`" in message


@pytest.mark.parametrize("line", ["a,b,PASS", "a,b,PASS,U1,surplus", ""])
def test_a_ragged_row_is_refused_with_its_number(table_file, line: str) -> None:
    assert "row 3" in refusal_of(table_file("a,b,PASS,U1", line, "a,b,PASS,U2"))


def test_an_unclosed_quote_is_refused(table_file) -> None:
    refusal_of(table_file('a,b,PASS,"U1', "a,b,PASS,U2"))


def test_a_file_name_in_place_of_an_object_name_is_refused_when_the_layout_is_known(table_file) -> None:
    path = table_file("a,b,PASS,U1_Top.png")
    rows.read_table(path)
    with pytest.raises(InputRefused, match="file name instead of object name"):
        rows.read_table(path, images=ImageLayout(("Top",), ".png"))


def test_a_written_table_reads_back_the_same(tmp_path: Path, table_file) -> None:
    table = rows.read_table(table_file('"a,1",b,Open,"U ""1"""'))
    assert rows.read_table(rows.write_table(tmp_path / "again.csv", table)).equals(table)


@pytest.mark.slow
def test_a_million_rows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    line = "boards/b{0}/in,boards/b{0}/golden,{1},U{2},p,b{0},,,,,,,,\n"
    with path.open("w") as stream:
        stream.write(",".join(rows.COLUMNS) + "\n")
        stream.writelines(line.format(n // 100, "PASS" if n % 3 else "Open", n) for n in range(10**6))
    table = rows.read_table(path)
    assert len(table) == 10**6


# --- images


@pytest.mark.parametrize(
    ("input_map", "lights"),
    [({"A": 0, "B": 1}, ("A", "B")), (["B", "A"], ("B", "A")), (None, ()), ({}, ()), ({1: 0}, ("1",))],
)
def test_the_lights_are_those_of_the_input_map_as_written(input_map: object, lights: tuple[str, ...]) -> None:
    spec = {"dataset": {"classify": {"input_map": input_map, "image_ext": ".png"}}}
    assert ImageLayout.from_spec(spec) == ImageLayout(lights, ".png")


@pytest.mark.parametrize(
    "section", [{}, {"image_ext": None}, {"image_ext": "."}, {"image_ext": ".png", "input_map": "Top"}]
)
def test_a_spec_without_a_usable_layout_is_refused(section: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        ImageLayout.from_spec({"dataset": {"classify": section}})


def test_every_light_has_its_input_and_golden_image() -> None:
    row = {"input_path": "b/in", "golden_path": "b/ok", "object_name": "U1"}
    layout = ImageLayout(("Top", "Side"), ".png")
    assert layout.input_images(row, Path("/i")) == [Path("/i/b/in/U1_Top.png"), Path("/i/b/in/U1_Side.png")]
    assert layout.golden_images(row, Path("/i")) == [Path("/i/b/ok/U1_Top.png"), Path("/i/b/ok/U1_Side.png")]
    assert ImageLayout((), ".png").input_images(row, Path("/i")) == [Path("/i/b/in/U1.png")]


def test_the_paths_of_a_column_are_those_of_its_rows(table_file) -> None:
    table = rows.read_table(table_file("a,b,PASS,U1", "/abs,b,PASS,U2"))
    layout = ImageLayout(("Top", "Side"), ".png")
    by_light = layout.column_paths(table, Path("/i"), "input_path")
    by_row = [layout.input_images(row, Path("/i")) for _, row in table.iterrows()]
    assert [[Path(path) for path in pair] for pair in zip(*by_light, strict=True)] == by_row


PATH_PART = st.text(
    st.characters(categories=("L", "N"), include_characters="._ -,'\""), min_size=1, max_size=8
)


@given(st.lists(PATH_PART, min_size=1, max_size=3))
def test_a_prefixed_path_stands_once_below_its_prefix(parts: list[str]) -> None:
    path = "/".join(parts)
    table = pd.DataFrame({"input_path": [path], "golden_path": ["/" + path]})
    prefixed = rows.prefix_rows(table, "kpi/images/")
    assert prefixed.loc[0, "input_path"] == f"kpi/images/{path}"
    assert prefixed.loc[0, "golden_path"] == "/" + path


def test_a_header_longer_than_any_name_is_refused(table_file) -> None:
    with pytest.raises(InputRefused, match="header has 1048576 bytes or more"):
        rows.read_table(table_file(header="x" * 2**20 + "," + HEADER))
