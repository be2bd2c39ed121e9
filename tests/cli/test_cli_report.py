"""The page of a run and the comparison of two, as a shell calls them."""

from __future__ import annotations

import shutil

import pytest

from deft.workspace.layout import RunFolder


@pytest.fixture
def copy(finished, tmp_path):
    root = shutil.copytree(finished.workspace.root, tmp_path / "moved", symlinks=True)
    return RunFolder(root / "results" / finished.root.name)


def test_the_page_is_rendered_and_its_path_told(copy, say, monkeypatch):
    copy.report.unlink()
    said = say("report", copy.root)
    assert said.record == {"status": "rendered", "report": str(copy.report)}
    assert copy.report.is_file()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert say("report", copy.workspace.root).out == f"{copy.report}\n"


def test_two_runs_are_compared_for_programs_and_for_people(finished, copy, say, monkeypatch):
    said = say("compare", finished.root, copy.workspace.root)
    assert said.record["runs"] == [finished.root.name, finished.root.name]
    assert said.record["different"] == {}
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    lines = say("compare", finished.root, copy.root).out.splitlines()
    assert lines[0].split() == [finished.root.name, finished.root.name]
    assert [line.split()[0] for line in lines[1:]] == list(said.record["figures"])


def test_comparing_with_what_is_no_run_is_refused_by_name(finished, tmp_path, say):
    said = say("compare", finished.root, tmp_path)
    assert said.code == 4
    assert f"workspace has no run yet: {tmp_path}" in said.err


def test_a_word_that_is_no_kind_of_report_is_a_usage_error(finished, say):
    said = say("report", "pie-chart", finished.root)
    assert said.code == 2
    assert "pie-chart is no kind of report" in said.err
