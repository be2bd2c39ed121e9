"""What docker says becomes an error with its name and its cure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deft.errors import EnvironmentMissing
from deft.platforms import docker_client as client
from scripted_docker import ScriptedDocker


@pytest.mark.parametrize(
    ("said", "kind", "fact", "cure"),
    [
        ("permission denied while trying to connect to x", EnvironmentMissing, "refuses you", "usermod"),
        (
            "Cannot connect to the Docker daemon at x.",
            client.DaemonAway,
            "does not answer",
            "systemctl start",
        ),
        ('could not select device driver "" with capabilities', EnvironmentMissing, "a GPU", "nvidia-ctk"),
        ("nvidia-container-cli: initialization error", EnvironmentMissing, "a GPU", "nvidia-ctk"),
        ("Error: No such container: x", client.NotThere, "found nothing", ""),
        ("Error response from daemon: odd", client.CommandFailed, "docker start failed", ""),
    ],
)
def test_each_message_of_docker_has_its_error(
    scripted_docker: ScriptedDocker, said: str, kind: type[Exception], fact: str, cure: str
) -> None:
    scripted_docker.says("start", error=said)
    with pytest.raises(kind) as failed:
        client.docker("start", "x")
    assert fact in failed.value.fact
    assert cure in failed.value.hint


def test_without_a_client_the_cure_is_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not client.has_client()
    with pytest.raises(EnvironmentMissing, match="client is not installed"):
        client.docker("ps")


def test_a_daemon_that_does_not_answer_in_time_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\nexec sleep 20\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(client.DaemonAway, match="does not answer within 0 seconds"):
        client.docker("ps", timeout=0.1)


def test_an_image_and_a_container_that_are_not_there_are_none(scripted_docker: ScriptedDocker) -> None:
    for verb, said in (("image", "Error: No such image: x"), ("container", "Error: No such container: x")):
        scripted_docker.says(verb, error=said)
    assert client.image_facts("x") is None
    assert client.state_of("x") is None


def test_the_facts_of_a_daemon_with_errors_are_an_error(scripted_docker: ScriptedDocker) -> None:
    scripted_docker.says("info", json.dumps({"ServerErrors": ["permission denied while trying to connect"]}))
    with pytest.raises(EnvironmentMissing, match="refuses you"):
        client.daemon_facts()


def test_removing_and_stopping_what_is_gone_is_no_error(scripted_docker: ScriptedDocker) -> None:
    for verb in ("rm", "stop"):
        scripted_docker.says(verb, error="Error: No such container: x")
    client.remove("x")
    client.stop("x", 3)
    assert scripted_docker.calls == [["rm", "--force", "--volumes", "x"], ["stop", "-t", "3", "x"]]


def test_logs_are_written_from_an_offset_on(scripted_docker: ScriptedDocker, tmp_path: Path) -> None:
    scripted_docker.says("logs", "new words\n")
    for write in (client.collect_logs, lambda *words: client.follow_logs(*words).wait()):
        log = tmp_path / "log"
        log.write_text("kept\nolder words that were longer\n")
        write("x", log, 5)
        assert log.read_text() == "kept\nnew words\n"


def test_the_words_of_a_container_that_is_gone_stay(scripted_docker: ScriptedDocker, tmp_path: Path) -> None:
    scripted_docker.says("logs", error="Error: No such container: x")
    (tmp_path / "log").write_text("kept\nlast words\n")
    client.collect_logs("x", tmp_path / "log", 5)
    assert (tmp_path / "log").read_text() == "kept\nlast words\n"


def test_containers_are_found_by_all_their_labels(scripted_docker: ScriptedDocker) -> None:
    scripted_docker.says("ps", "two\none\n")
    assert client.names_with({"deft.run": "run_1", "deft.plan": "a=b c"}) == ["one", "two"]
    (words,) = scripted_docker.calls
    assert words[-2:] == ["--filter=label=deft.run=run_1", "--filter=label=deft.plan=a=b c"]
