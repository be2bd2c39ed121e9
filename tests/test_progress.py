"""Progress is told in four ways, and none of them can break the work that it tells of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deft.progress import (
    FileProgress,
    NullProgress,
    ProgressLine,
    RichProgress,
    for_terminal,
    parse_progress_line,
    read_progress,
)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "progress.json"


def test_the_file_says_what_is_done_and_how_long_it_will_take(path: Path, clock: Clock) -> None:
    with FileProgress(path, clock=clock).task("train baseline", total=200, unit="step") as task:
        assert read_progress(path) == {
            "task": "train baseline",
            "done": 0.0,
            "total": 200,
            "unit": "step",
            "seconds_left": None,
        }
        clock.now += 10
        task.advance(50)
        assert json.loads(path.read_text())["seconds_left"] == 30


def test_the_file_is_written_at_most_once_a_second(path: Path, clock: Clock) -> None:
    with FileProgress(path, clock=clock).task("embed", total=1000) as task:
        clock.now += 1.5
        task.advance()
        first = path.stat().st_mtime_ns, path.stat().st_ino
        for _ in range(500):
            task.advance()
        assert (path.stat().st_mtime_ns, path.stat().st_ino) == first
        clock.now += 1.5
        task.advance()
        assert (read_progress(path) or {})["done"] == 502


def test_an_inner_task_is_shown_and_then_the_outer_one_again(path: Path, clock: Clock) -> None:
    progress = FileProgress(path, clock=clock)
    with progress.task("iteration 1", total=7, unit="stage") as outer:
        with progress.task("train", total=10):
            assert (read_progress(path) or {})["task"] == "train"
            clock.now += 5
            outer.advance()
            assert (read_progress(path) or {})["task"] == "train"
        assert read_progress(path) == {
            "task": "iteration 1",
            "done": 1.0,
            "total": 7,
            "unit": "stage",
            "seconds_left": 30,
        }


def test_the_file_goes_away_with_the_last_task_even_when_it_fails(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), FileProgress(path).task("train"):
        raise ZeroDivisionError
    assert read_progress(path) is None


def test_a_total_that_becomes_known_later_is_taken(path: Path, clock: Clock) -> None:
    with FileProgress(path, clock=clock).task("embed") as task:
        clock.now += 4
        task.reach(2, total=8)
        assert (read_progress(path) or {})["seconds_left"] == 12


def test_silence_accepts_everything() -> None:
    with NullProgress().task("train", total=3) as task:
        task.advance()
        task.reach(3, total=3)


def test_bars_go_to_stderr_and_leave_stdout_to_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    progress = RichProgress()
    with progress.task("iteration", total=2) as outer, progress.task("train", total=10) as inner:
        inner.advance(4)
        inner.reach(10, total=10)
        outer.advance()
    assert capsys.readouterr().out == ""


def test_bars_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    assert isinstance(for_terminal(), NullProgress)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert isinstance(for_terminal(), RichProgress)


def test_a_progress_line_is_read() -> None:
    line = 'PROGRESS {"done": 3, "total": 10, "unit": "image"}\n'
    assert parse_progress_line(line) == ProgressLine(3.0, 10.0, "image")
    assert parse_progress_line('PROGRESS {"done": 3}') == ProgressLine(3.0, None, "step")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "epoch 3",
        "PROGRESS",
        "PROGRESS {",
        "PROGRESS []",
        'PROGRESS {"total": 3}',
        'PROGRESS {"done": "x"}',
    ],
)
def test_another_line_is_not_taken_for_progress(line: str) -> None:
    assert parse_progress_line(line) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000])
def test_damaged_progress_is_no_progress(tmp_path: Path, content: str) -> None:
    (tmp_path / "progress.json").write_text(content)
    assert read_progress(tmp_path / "progress.json") is None
