"""Where everything lies: a workspace, its runs, and the phases of a run."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from deft.errors import InputRefused
from deft.workspace.layout import (
    RunFolder,
    Workspace,
    cache_home,
    phase_name,
    state_home,
    timestamp,
)


def test_a_workspace_is_known_by_its_real_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert Workspace.at(tmp_path / "link").root == tmp_path / "real"


def test_a_workspace_below_the_home_may_be_written_with_a_tilde() -> None:
    (Path.home() / "workspace").mkdir()
    assert Workspace.at("~/workspace").root == (Path.home() / "workspace").resolve()


@pytest.mark.parametrize("kind", ["absent", "file"])
def test_what_is_no_folder_is_no_workspace(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "place"
    if kind == "file":
        path.touch()
    with pytest.raises(InputRefused, match="workspace does not exist") as caught:
        Workspace.at(path)
    assert caught.value.value == path


@pytest.mark.parametrize(
    ("made", "taken"),
    [
        ((), "kpi/images"),
        (("images",), "images"),
        (("kpi/images",), "kpi/images"),
        (("images", "kpi/images"), "kpi/images"),
    ],
)
def test_the_newer_place_of_images_counts_only_where_the_older_is_not(tmp_path: Path, made, taken) -> None:
    for name in made:
        (tmp_path / name).mkdir(parents=True)
    assert Workspace(tmp_path).images == tmp_path / taken


def test_runs_are_listed_oldest_first_and_nothing_else_is_one(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.runs() == []
    names = ["run_20260102_000000", "run_20260101_235959"]
    for name in [*names, "run_2026", "run_20260101_235959.old", "notes"]:
        (workspace.results / name).mkdir(parents=True)
    assert [run.root.name for run in workspace.runs()] == sorted(names)
    assert workspace.runs()[0].workspace == workspace


def test_phases_count_from_the_baseline(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert [phase_name(number) for number in (0, 1, 12)] == ["baseline", "iter1", "iter12"]
    for number in (0, 1, 12):
        assert run.phase(phase_name(number)).number == number
    assert run.phase("iter2").combined_table == tmp_path / "iter2" / "dataset" / "train_combined_iter2.csv"
    assert run.summary("iter2") == tmp_path / "iter2_summary.md"


def test_a_results_folder_is_named_after_its_second() -> None:
    assert timestamp(datetime(2026, 3, 4, 5, 6, 7)) == "2026-03-04_050607"
    assert len(timestamp()) == len("2026-03-04_050607")


def test_places_of_the_user_follow_the_desktop_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    assert (state_home(), cache_home()) == (tmp_path / "s" / "deft", tmp_path / "c" / "deft")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert state_home() == Path.home() / ".local" / "state" / "deft"
    assert cache_home() == Path.home() / ".cache" / "deft"
