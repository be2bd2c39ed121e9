"""bin/deft finds or builds its environment, once, and says what to do when it cannot.

No package is installed here: an interpreter that only notes what it is asked stands in for `venv` and `pip`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "env", "readlink", "dirname", "mkdir", "rm", "touch", "flock", "cp")
INTERPRETER = f"""#!/usr/bin/env bash
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; exit "${{VENV_EXIT:-0}}"; fi
if [ "$1 $2" = "-m pip" ]; then
  echo "$*" >>"$PIP_LOG"
  if [ -n "${{HOLD:-}}" ] && [ "${{*: -1}}" != torch ]; then
    echo started >"$HOLD/started"; read -r _ <"$HOLD/go"
  fi
  exit "${{PIP_EXIT:-0}}"
fi
exec {sys.executable} "$@"
"""
PINS = ("constraints.txt", "requirements.lock", "requirements-test.lock")
PROGRAM = "import os, sys; print(os.getcwd(), os.environ['PYTHONPATH'].split(':')[0], *sys.argv[1:], sep='|')"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a small checkout at a path with a blank; its program prints where and how it runs."""
    root = tmp_path / "my checkout"
    for name in ("bin/deft", *PINS):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, root / name)
    (root / "src/deft").mkdir(parents=True)
    (root / "src/deft/__main__.py").write_text(PROGRAM, encoding="utf-8")
    return root


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a bare machine: a few commands, one interpreter, an empty cache."""
    commands = tmp_path / "commands"
    commands.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, tool
        (commands / tool).symlink_to(found)
    (commands / "python3.12").write_text(INTERPRETER, encoding="utf-8")
    (commands / "python3.12").chmod(0o755)
    return {
        "PATH": str(commands),
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "a cache"),
        "PIP_LOG": str(tmp_path / "pip.log"),
    }


def deft(
    checkout: Path, machine: dict[str, str], *arguments: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    command = [str(checkout / "bin" / "deft"), *arguments]
    return subprocess.run(
        command, env=machine, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )


def environments(machine: dict[str, str]) -> list[Path]:
    return sorted(path for path in Path(machine["XDG_CACHE_HOME"], "deft").glob("env-*") if path.is_dir())


def installations(machine: dict[str, str]) -> list[str]:
    log = Path(machine["PIP_LOG"])
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def test_the_first_call_installs_the_pinned_packages_and_the_second_nothing(
    checkout: Path, machine: dict[str, str], tmp_path: Path
) -> None:
    first = deft(checkout, machine, "status", "a b", cwd=tmp_path)
    assert first.stdout == f"{tmp_path}|{checkout}/src|status|a b\n"
    assert "first use" in first.stderr
    assert len(environments(machine)) == 1
    locked, torch = installations(machine)
    assert locked.endswith(f"--require-hashes -r {checkout}/requirements.lock")
    assert torch.endswith(f"-c {checkout}/constraints.txt torch")
    second = deft(checkout, machine, "status")
    assert second.stderr == ""
    assert len(installations(machine)) == 2


def test_the_test_environment_is_another_one_with_the_test_tools(
    checkout: Path, machine: dict[str, str]
) -> None:
    plain = deft(checkout, machine, "--environment").stdout.strip()
    test = deft(checkout, machine, "--environment", "test").stdout.strip()
    assert plain != test
    locked = [line for line in installations(machine) if "--require-hashes" in line]
    assert [line.rpartition("/")[2] for line in locked] == ["requirements.lock", "requirements-test.lock"]


@pytest.mark.parametrize("name", PINS)
def test_other_pins_get_another_environment(checkout: Path, machine: dict[str, str], name: str) -> None:
    deft(checkout, machine)
    with (checkout / name).open("a", encoding="utf-8") as stream:
        stream.write("# changed\n")
    deft(checkout, machine)
    assert len(environments(machine)) == 2


def test_a_link_to_it_works_from_anywhere(checkout: Path, machine: dict[str, str], tmp_path: Path) -> None:
    link = tmp_path / "links" / "deft"
    link.parent.mkdir()
    link.symlink_to(checkout / "bin" / "deft")
    done = subprocess.run(
        [str(link), "next"], env=machine, cwd="/", capture_output=True, text=True, check=True
    )
    assert done.stdout == f"/|{checkout}/src|next\n"


def test_what_lies_in_the_current_folder_is_not_what_runs(
    checkout: Path, machine: dict[str, str], tmp_path: Path
) -> None:
    machine["DEFT_PYTHON"] = sys.executable
    here = tmp_path / "here"
    for name in ("deft/__main__.py", "os.py", "click.py"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("raise SystemExit('what lay here ran')", encoding="utf-8")
    program = checkout / "src" / "deft" / "__main__.py"
    program.write_text(f"import click\n{PROGRAM}", encoding="utf-8")
    assert deft(checkout, machine, "next", cwd=here).stdout == f"{here}|{checkout}/src|next\n"


def test_deft_python_is_used_as_it_is(checkout: Path, machine: dict[str, str]) -> None:
    machine["DEFT_PYTHON"] = sys.executable
    assert deft(checkout, machine, "next").stdout.endswith(f"{checkout}/src|next\n")
    assert deft(checkout, machine, "--environment").stdout == f"{sys.executable}\n"
    assert environments(machine) == []


def test_a_deft_python_that_is_no_command_is_named(checkout: Path, machine: dict[str, str]) -> None:
    failed = deft(checkout, {**machine, "DEFT_PYTHON": "/nowhere/python"}, "status")
    assert failed.returncode == 5
    assert "DEFT_PYTHON is no command: /nowhere/python" in failed.stderr


def test_the_exit_code_of_the_program_is_kept(checkout: Path, machine: dict[str, str]) -> None:
    (checkout / "src/deft/__main__.py").write_text("raise SystemExit(4)", encoding="utf-8")
    assert deft(checkout, machine).returncode == 4


def test_a_failed_installation_names_the_command_and_what_to_set_and_is_tried_again(
    checkout: Path, machine: dict[str, str]
) -> None:
    failed = deft(checkout, {**machine, "PIP_EXIT": "1"}, "status")
    assert failed.returncode == 5
    assert failed.stdout == ""
    assert "could not run: pip install" in failed.stderr
    assert "PIP_INDEX_URL" in failed.stderr
    assert "DEFT_PYTHON" in failed.stderr
    assert deft(checkout, machine, "status").returncode == 0


def test_a_missing_venv_module_is_named(checkout: Path, machine: dict[str, str]) -> None:
    failed = deft(checkout, {**machine, "VENV_EXIT": "1"})
    assert failed.returncode == 5
    assert "python3-venv" in failed.stderr


def test_an_interrupted_installation_is_not_taken_for_a_finished_one(
    checkout: Path, machine: dict[str, str]
) -> None:
    deft(checkout, machine)
    (environment,) = environments(machine)
    (environment / ".complete").unlink()
    (environment / "half").touch()
    assert deft(checkout, machine, "status").returncode == 0
    assert not (environment / "half").exists()


def test_without_a_recent_python_the_message_says_which(checkout: Path, machine: dict[str, str]) -> None:
    commands = Path(machine["PATH"])
    (commands / "python3.12").unlink()
    (commands / "python3").write_text("#!/usr/bin/env bash\nexit 1\n", encoding="utf-8")
    (commands / "python3").chmod(0o755)
    failed = deft(checkout, machine)
    assert failed.returncode == 5
    assert "no Python 3.11 or newer" in failed.stderr


def test_a_cache_that_cannot_be_written_is_named(
    checkout: Path, machine: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    failed = deft(checkout, {**machine, "XDG_CACHE_HOME": str(tmp_path / "file")})
    assert failed.returncode == 5
    assert "set XDG_CACHE_HOME" in failed.stderr


def test_two_first_calls_at_once_install_once(
    checkout: Path, machine: dict[str, str], tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    hold.mkdir()
    for name in ("started", "go"):
        os.mkfifo(hold / name)
    command = [str(checkout / "bin" / "deft"), "next"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen(command, env={**machine, "HOLD": str(hold)}, **pipes) as first,  # type: ignore[call-overload]
        subprocess.Popen(["cat", str(hold / "started")], stdout=subprocess.PIPE, text=True) as started,
    ):
        assert started.stdout.readline() == "started\n"
        with subprocess.Popen(command, env=machine, **pipes) as second:  # type: ignore[call-overload]
            assert "waiting" in second.stderr.readline()
            (hold / "go").write_text("go\n", encoding="utf-8")
            assert second.communicate()[0] == first.communicate()[0]
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(installations(machine)) == 2


def test_it_stays_within_sixty_lines() -> None:
    assert len((REPOSITORY / "bin" / "deft").read_text(encoding="utf-8").splitlines()) <= 60
