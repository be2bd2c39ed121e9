from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deft.errors import InputRefused
from deft.metrics.kpi_analysis import analyse, metrics_table
from deft.metrics.operating_points import sweep


def analysed(folder: Path, text: str, pass_label: str = "PASS"):  # type: ignore[no-untyped-def]
    (folder / "in.csv").write_text(text)
    return analyse(folder / "in.csv", "label", "siamese_score", pass_label)


def test_labels_are_compared_without_case_and_blanks_and_a_blank_one_is_a_defect(tmp_path: Path) -> None:
    found = analysed(tmp_path, "label,siamese_score\n pass,0.1\n,0.9\nOK,0.8\n")
    assert found.is_defect.tolist() == [False, True, True]
    found = analysed(tmp_path, "label,siamese_score\nok ,0.1\nPASS,0.9\n", "OK")
    assert found.is_defect.tolist() == [False, True]


def test_without_defects_there_is_no_point_at_full_recall(tmp_path: Path) -> None:
    assert analysed(tmp_path, "label,siamese_score\nPASS,0.1\n").at_100 is None


def test_a_line_break_inside_quotes_belongs_to_its_row_and_a_surplus_cell_to_none(tmp_path: Path) -> None:
    found = analysed(tmp_path, 'label,siamese_score,note\nPASS,0.1,"a\nb"\nopen,0.2,c,d\n\nopen,0.05,e\n')
    assert found.table["note"].tolist() == ["a\nb", "c", "e"]


def test_an_overlong_cell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="not readable"):
        analysed(tmp_path, "label,siamese_score\n" + "x" * 200_000 + ",1\n")


def test_undefined_ratios_are_nan_in_the_table() -> None:
    table = metrics_table(sweep([0.1, 0.9], [True, False]))
    assert np.isnan(table["f1"].iloc[1])
    assert np.isnan(table["precision"].iloc[2])
    assert table["recall"].iloc[2] == 0.0


def test_the_metrics_of_two_hundred_thousand_scores_are_had() -> None:
    """Work that grew with rows times thresholds would meet the limit of every test."""
    generator = np.random.default_rng(0)
    scores, is_defect = generator.random(200_000), generator.random(200_000) < 0.02
    assert len(metrics_table(sweep(scores, is_defect))) == 200_001


def test_a_row_may_end_after_its_score_but_not_before(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("input_path,label,siamese_score,note\na,PASS,0.1\nb,bridge,0.9,x\n")
    assert analyse(path, "label", "siamese_score", "PASS").table["note"].tolist() == ["", "x"]
    path.write_text("input_path,label,siamese_score,note\na,PASS,0.1,x\nb,bridge\n")
    with pytest.raises(InputRefused, match="row 3 has no label or no score"):
        analyse(path, "label", "siamese_score", "PASS")


def test_an_empty_table_lacks_its_columns_and_has_none(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"table lacks label, siamese_score \(it has no columns\)"):
        analysed(tmp_path, "")


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("label,label,siamese_score\nPASS,PASS,0.1\n")
    with pytest.raises(InputRefused, match="twice"):
        analyse(path, "label", "siamese_score", "PASS")
