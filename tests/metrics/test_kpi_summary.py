from __future__ import annotations

from pathlib import Path

from deft.metrics.kpi_analysis import analyse
from deft.metrics.kpi_files import analyze
from deft.metrics.kpi_summary import printed_lines, summary_text


def table(path: Path, rows: list[str], header: str = "label,siamese_score,input_path,object_name") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_defect_just_above_the_threshold_is_not_lost_to_rounding(tmp_path: Path) -> None:
    source = table(tmp_path / "in.csv", ["PASS,0.3333336,a,1", "open,0.3333338,a,2"])
    result = analyze(source, tmp_path / "out")
    line = next(text for text in result["lines"] if text.startswith("100% recall threshold: "))
    printed = float(line.split()[3])
    assert printed == 0.3333336
    assert "  threshold: 0.3333336\n" in (tmp_path / "out" / "summary.txt").read_text()
    assert result["kpi"]["far_at_100"]["threshold"] == 0.3333336


def test_without_defects_both_texts_say_unavailable_and_nan(tmp_path: Path) -> None:
    source = table(tmp_path / "in.csv", ["PASS,0.5,a,1"])
    analysis = analyse(source, "label", "siamese_score", "PASS")
    summary = summary_text(analysis, 0, [])
    assert "  unavailable because no threshold achieved recall = 1.0\n" in summary
    assert "  recall: nan\n" in summary
    assert "100% recall threshold: unavailable" in printed_lines(analysis, source, tmp_path, 0, [])
