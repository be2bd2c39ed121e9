"""Variables: which a script may set, and which it is known to hold."""

from __future__ import annotations

import pytest

from deft.guard.shell import Script
from deft.guard.variables import is_free_name, resolved


@pytest.mark.parametrize("name", ["WORKSPACE", "WS", "RUN", "line", "f", "i", "RESULTS_DIR", "DS_IMAGE"])
def test_a_name_of_one_s_own_is_free(name: str) -> None:
    assert is_free_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "PATH",
            "path",
            "LD_PRELOAD",
            "BASH_ENV",
            "ENV",
            "IFS",
            "HOME",
            "PS4",
            "GIT_PAGER",
            "PYTHONPATH",
            "fpath",
        ),
        *("DEFT_PYTHON", "DEFT_SESSION_ID", "XDG_STATE_HOME", "TAO_SKILL_BANK_PATH", "CLAUDECODE", "CDPATH"),
        *(
            "LESSOPEN",
            "RIPGREP_CONFIG_PATH",
            "KUBECONFIG",
            "DOCKER_HOST",
            "aliases",
            "functions",
            "1x",
            "a-b",
            "",
        ),
    ],
)
def test_a_name_that_something_obeys_is_not_free(name: str) -> None:
    assert not is_free_name(name)


def test_a_name_of_the_environment_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PROGRAM_S_OWN", "x")
    assert not is_free_name("SOME_PROGRAM_S_OWN")


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ('A=/data; ls "$A/x"', "/data/x"),
        ("A=/data; ls ${A}/x", "/data/x"),
        ("A='a b'; ls $A", None),
        ("A=1; A=2; ls $A", None),
        ("A=$(date); ls $A", None),
        ("for A in 1; do ls $A; done", None),
        ("ls $A", None),
        ("ls $HOME/x", "/home-of-tests/x"),
        ("ls ~/x", "/home-of-tests/x"),
        ("ls ~other/x", None),
    ],
)
def test_a_variable_with_one_plain_value_is_known(
    script: str, text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home-of-tests")
    read = Script(script)
    command = next(command for command in read.commands if len(command.words) > 1)
    assert resolved(command.words[1], read, command).literal() == text
