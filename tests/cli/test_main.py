"""The door itself: one message and one exit code for whatever goes wrong, and a start that costs nothing."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import click
import pytest

from deft.cli.main import main
from deft.cli.verbs import LOOP, VERBS, Verb
from deft.errors import Corruption, DeftError, EnvironmentMissing, InputRefused, StageFailed
from deft.workspace.layout import state_home

SOURCE = Path(__file__).resolve().parents[2] / "src"

Plant = Callable[[Callable[[], object]], None]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Put a verb `planted` into the table that calls a function of the test."""

    def planted(body: Callable[[], object]) -> None:
        module = ModuleType("planted_verb")
        module.command = click.Command("planted", callback=lambda: body())  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "planted_verb", module)
        monkeypatch.setitem(VERBS, "planted", Verb(LOOP, "planted_verb:command", "Planted."))

    return planted


def test_the_door_opens_without_the_heavy_packages() -> None:
    script = (
        "import sys, time; start = time.perf_counter(); import deft.cli.main; "
        "print(time.perf_counter() - start, [name for name in ('pandas', 'numpy', 'torch', 'rich') "
        "if name in sys.modules])"
    )
    seconds = []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
            check=True,
        )
        first, _, rest = done.stdout.partition(" ")
        assert rest.strip() == "[]"
        seconds.append(float(first))
    assert min(seconds) < 0.150


def test_help_names_every_verb_under_its_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert (
        text.index("The loop:")
        < text.index("  preflight ")
        < text.index("This machine:")
        < text.index("  doctor ")
    )
    assert all(f"  {name} " in text for name in VERBS)


def test_no_verb_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    assert "The loop:" in capsys.readouterr().out + capsys.readouterr().err


def test_an_unknown_verb_is_a_usage_error_with_the_command_that_helps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["preflihgt"]) == 2
    printed = capsys.readouterr()
    assert "preflihgt" in printed.err
    assert "hint: deft --help" in printed.err
    assert json.loads(printed.out)["exit_code"] == 2


def test_an_unknown_option_points_to_the_help_of_its_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list-tao-platforms", "--platfrom", "x"]) == 2
    assert "hint: deft list-tao-platforms --help" in capsys.readouterr().err


def test_an_error_is_text_for_people_and_a_record_for_programs(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise InputRefused("score is not a number", value="row 7", hint="deft validate-csv")

    plant(refuse)
    assert main(["planted"]) == 3
    printed = capsys.readouterr()
    assert printed.err == 'error: score is not a number: "row 7"\nhint: deft validate-csv\n'
    assert json.loads(printed.out) == {
        "status": "error",
        "error": {"fact": "score is not a number", "value": "row 7", "hint": "deft validate-csv"},
        "exit_code": 3,
        "untrusted": ["error.fact", "error.value"],
    }


def test_at_a_terminal_an_error_is_not_repeated_as_json(
    plant: Plant, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise InputRefused("no")

    plant(refuse)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["planted"]) == 3
    assert capsys.readouterr().out == ""
    assert main(["planted", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["exit_code"] == 3


def test_a_number_that_a_verb_returns_is_the_exit_code(plant: Plant) -> None:
    plant(lambda: 4)
    assert main(["planted"]) == 4
    plant(lambda: None)
    assert main(["planted"]) == 0


def test_a_fault_of_ours_is_one_line_and_a_private_file(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a fault\nof two lines")

    plant(fail)
    assert main(["planted"]) == 1
    (crash,) = (state_home() / "crashes").iterdir()
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert lines[0] == "error: internal error: ZeroDivisionError: a fault"
    assert str(crash) in lines[1]
    assert "Traceback" not in "".join(lines)
    record = json.loads(printed.out)
    assert (record["status"], record["exit_code"]) == ("error", 1)
    assert record["error"]["fact"] == "internal error: ZeroDivisionError: a fault"
    assert record["error"]["hint"] == f"the traceback is in {crash}; please report it"
    assert "in fail" in crash.read_text()
    assert crash.stat().st_mode & 0o777 == 0o600


def test_a_fault_is_still_told_where_no_file_can_be_left(
    plant: Plant, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))

    def fail() -> None:
        raise ZeroDivisionError("a fault")

    plant(fail)
    assert main(["planted"]) == 1
    printed = capsys.readouterr()
    assert "in fail" in printed.err
    assert json.loads(printed.out)["error"]["hint"].startswith("the traceback is above")


@pytest.mark.parametrize(
    ("number", "fact"),
    [
        (errno.ENOSPC, "no space left on the device: /data/x"),
        (errno.EDQUOT, "the disk quota is used up: /data/x"),
        (errno.EROFS, "the file system is read-only: /data/x"),
        (errno.EACCES, "permission denied: /data/x"),
    ],
)
def test_a_disk_that_cannot_be_written_is_one_message(
    plant: Plant, capsys: pytest.CaptureFixture[str], number: int, fact: str
) -> None:
    def fill() -> None:
        raise OSError(number, "the system's words", "/data/x")

    plant(fill)
    assert main(["planted"]) == 5
    assert capsys.readouterr().err.startswith(f"error: {fact}\nhint: free space")
    assert not (state_home() / "crashes").exists()


def test_a_file_where_a_folder_is_wanted_is_an_input_that_is_refused(
    plant: Plant, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table = tmp_path / "labels.csv"
    table.touch()
    plant(lambda: (table / "x").mkdir())
    assert main(["planted"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["fact"], error["value"]) == ("a file stands where a folder is wanted", str(table))
    assert error["hint"] == "name another folder, or move the file away"
    assert not (state_home() / "crashes").exists()


@pytest.mark.parametrize(
    ("family", "hint"),
    [(Corruption, "deft audit RUN names"), (EnvironmentMissing, "deft doctor"), (InputRefused, "mend this")],
)
def test_an_error_without_a_hint_gets_that_of_its_family(
    plant: Plant, capsys: pytest.CaptureFixture[str], family: type[DeftError], hint: str
) -> None:
    def fail() -> None:
        raise family("no")

    plant(fail)
    main(["planted"])
    assert json.loads(capsys.readouterr().out)["error"]["hint"].startswith(hint)


def test_a_failed_stage_without_a_hint_points_to_the_file_that_it_names_if_that_is_there(
    plant: Plant, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail() -> None:
        raise StageFailed("no score", value=tmp_path / "inference.csv")

    plant(fail)
    main(["planted"])
    assert json.loads(capsys.readouterr().out)["error"]["hint"] == ""
    (tmp_path / "inference.csv").touch()
    main(["planted"])
    assert json.loads(capsys.readouterr().out)["error"]["hint"] == f"read {tmp_path / 'inference.csv'}"


def test_another_operating_system_error_is_a_fault(plant: Plant) -> None:
    def fail() -> None:
        raise OSError(errno.EMFILE, "too many open files", "/data/x")

    plant(fail)
    assert main(["planted"]) == 1


def test_an_interruption_ends_with_130(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    plant(interrupt)
    assert main(["planted"]) == 130
    assert capsys.readouterr().err.strip().endswith("interrupted")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("deft 0.")


def test_every_verb_takes_the_json_option(plant: Plant) -> None:
    plant(lambda: None)
    assert main(["planted", "--json"]) == 0
    assert main(["planted", "--json"]) == 0


def test_a_tool_call_gets_its_words_exactly_as_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[list[str]] = []
    monkeypatch.setattr("deft.tools.__main__.main", lambda words: heard.append(words) or 1)
    words = [
        "gap_analysis",
        "vcn_aoi",
        "-e",
        "spec.yaml",
        "a.b=[1,2]",
        "--cfg=job",
        "--json",
        "--help",
        "--",
        "x",
    ]
    assert main(["tool", *words]) == 1
    assert heard == [words]
