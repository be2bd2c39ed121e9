"""`deft doctor`: each failure with its cure, and an exit code that a script can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deft.cli.main import main
from deft.platforms.base import Check
from deft.platforms.embedded import EmbeddedPlatform
from deft.workspace.layout import state_home

GOOD = Check("package torch", True, "found", "install it")
BAD = Check("disk", False, "1 GB free", "free at least 2 GB")


def checks(monkeypatch: pytest.MonkeyPatch, *found: Check) -> None:
    monkeypatch.setattr(EmbeddedPlatform, "checks", lambda self, workspace: list(found))


def test_a_machine_that_has_everything_is_ok(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks(monkeypatch, GOOD)
    assert main(["doctor"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "ok"


def test_what_is_missing_is_told_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks(monkeypatch, GOOD, BAD)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["doctor"]) == 5
    text = capsys.readouterr().out
    assert "MISSING disk: 1 GB free\n          free at least 2 GB" in text
    assert "install it" not in text


def test_the_machine_that_runs_the_tests_can_run_the_embedded_platform(tmp_path: Path) -> None:
    assert main(["doctor", "--workspace", str(tmp_path)]) == 0


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder on the PATH; a file in it is a tool of this machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def tool(folder: Path, name: str, answer: str, code: int = 0) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{answer}'\nexit {code}\n")
    path.chmod(0o755)


def also(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict[str, Any]]:
    main(["doctor", *words])
    return {check["name"]: check for check in json.loads(capsys.readouterr().out)["also"]}


def test_a_machine_without_gpu_docker_and_schedulers_still_works(
    monkeypatch: pytest.MonkeyPatch, tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checks(monkeypatch, GOOD)
    assert main(["doctor"]) == 0
    found = json.loads(capsys.readouterr().out)["also"]
    assert [check["name"] for check in found if not check["passed"]] == [
        "GPU",
        "docker",
        "sbatch",
        "kubectl",
        "credentials",
    ]
    assert all(check["cure"].startswith("only needed") for check in found)


def test_what_other_platforms_would_use_is_found(tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tool(tools, "nvidia-smi", "Big GPU, 141120 MiB")
    tool(tools, "docker", "28.1")
    tool(tools, "sbatch", "")
    found = also(capsys)
    assert found["GPU"]["detail"] == "Big GPU, 141120 MiB"
    assert found["docker"]["detail"] == "daemon 28.1"
    assert (found["sbatch"]["passed"], found["kubectl"]["passed"]) == (True, False)


def test_a_docker_daemon_that_does_not_answer_is_told_apart_from_none(
    tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool(tools, "docker", "", code=1)
    found = also(capsys)["docker"]
    assert (found["passed"], found["detail"]) == (False, "daemon does not answer")
    assert "systemctl start docker" in found["cure"]


def test_credentials_are_told_by_name_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret-one")
    (tmp_path / ".env").write_text("NGC_API_KEY=secret-two\n")
    assert main(["doctor", "--workspace", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "NGC_API_KEY, HF_TOKEN" in text
    assert "secret" not in text


def test_a_state_folder_that_cannot_be_written_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks(monkeypatch, GOOD)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert main(["doctor"]) == 5
    failed = [check for check in json.loads(capsys.readouterr().out)["checks"] if not check["passed"]]
    assert [check["name"] for check in failed] == ["state folder"]
    assert "XDG_STATE_HOME" in failed[0]["cure"]


def test_looking_leaves_nothing_in_the_state_folder() -> None:
    main(["doctor"])
    assert not any(state_home().iterdir())


def test_the_engine_is_measured_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks(monkeypatch, GOOD)
    monkeypatch.setattr(EmbeddedPlatform, "probe_precision", lambda self: "bf16-mixed")
    main(["doctor"])
    assert "bf16-mixed" not in capsys.readouterr().out
    assert main(["doctor", "--probe"]) == 0
    assert "threads, precision bf16-mixed" in capsys.readouterr().out


def test_an_engine_that_cannot_be_measured_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    checks(monkeypatch, GOOD)
    monkeypatch.setattr(EmbeddedPlatform, "probe_precision", lambda self: None)
    assert main(["doctor", "--probe"]) == 5


def test_a_workspace_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    assert main(["doctor", "--workspace", str(tmp_path / "none")]) == 2


def test_an_unknown_platform_is_a_usage_error() -> None:
    assert main(["doctor", "--platform", "moon"]) == 2


def hooks_say(monkeypatch: pytest.MonkeyPatch, *found: Check) -> list[str | None]:
    """Let the check of the hooks find this, and return the list of clients that it is asked about."""
    asked: list[str | None] = []

    def checked(client: str | None) -> list[Check]:
        asked.append(client)
        return list(found)

    monkeypatch.setattr("deft.preflight.hooks_check.hooks_checks", checked)
    monkeypatch.setattr("deft.guard.agent.agent_marker", lambda: None)
    return asked


def test_hooks_that_fire_are_told_one_line_an_event(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = hooks_say(monkeypatch, Check("Stop", True, "fired", "never shown"))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["doctor", "--hooks"]) == 0
    assert capsys.readouterr().out == "  ok      Stop: fired\n"
    assert asked == [None]


def test_a_hook_that_does_not_fire_is_told_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hooks_say(monkeypatch, Check("Stop", False, "did not fire", "update the client"))
    assert main(["doctor", "--hooks"]) == 5
    record = json.loads(capsys.readouterr().out)
    assert record["status"] == "missing"
    assert record["checks"][0]["cure"] == "update the client"


def test_a_person_may_name_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hooks_say(monkeypatch)
    assert main(["doctor", "--hooks", "--client", "/a/claude"]) == 0
    assert asked == ["/a/claude"]


def test_an_agent_may_not_name_the_program_that_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hooks_say(monkeypatch)
    monkeypatch.setattr("deft.guard.agent.agent_marker", lambda: "CLAUDECODE")
    assert main(["doctor", "--hooks", "--client", "/a/program"]) == 4
    assert main(["doctor", "--hooks"]) == 0
    assert asked == [None]


def test_a_client_without_hooks_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["doctor", "--client", "/a/claude"]) == 2
