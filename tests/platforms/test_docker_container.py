"""The life of a container, with docker's answers given: what is begun, taken over, lost, stopped, removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft import files
from deft.errors import EnvironmentMissing, StageFailed
from deft.platforms import docker_container
from deft.platforms.base import CallIdentity, ToolCall
from deft.platforms.containers import Image
from deft.platforms.docker_arguments import Container, Limits
from deft.platforms.docker_container import FINGERPRINT, _marked, carry_out
from scripted_docker import ScriptedDocker

GONE = "Error: No such container: x"
AWAY = "Cannot connect to the Docker daemon"
CONTAINER = Container("deft-x", Image("sha256:" + "e" * 64), ["a"], [], Limits("1:1"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_container, "POLL_SECONDS", 0.01)


@pytest.fixture
def call(tmp_path: Path) -> ToolCall:
    folder = files.make_folder(tmp_path / "results")
    identity = CallIdentity("run", "baseline", "train", 1, "key")
    log = folder / "train.log"
    return ToolCall("visual_changenet", "train", None, {}, (), folder, log, identity=identity)


def mark(call: ToolCall) -> dict[str, str]:
    return {FINGERPRINT: _marked(CONTAINER, call).labels[FINGERPRINT]}


def begun(docker: ScriptedDocker) -> int:
    return docker.verbs().count("create")


def test_a_container_is_begun_followed_and_removed(scripted_docker: ScriptedDocker, call: ToolCall) -> None:
    scripted_docker.says("container", number=1, error=GONE)
    scripted_docker.stands("running", number=2)
    scripted_docker.stands("running", number=3)
    scripted_docker.stands("exited", 4)
    scripted_docker.says("logs", "words\n")
    watched: list[int] = []
    assert carry_out(CONTAINER, call, lambda: watched.append(1)) == 4
    assert watched == [1]
    assert call.log.read_text().endswith("\nwords\n")
    verbs = [verb for verb in scripted_docker.verbs() if verb not in ("container", "logs")]
    assert verbs == ["create", "start", "rm"]


def test_what_was_begun_by_an_earlier_runner_is_not_begun_again(
    scripted_docker: ScriptedDocker, call: ToolCall
) -> None:
    scripted_docker.stands("running", number=1, labels=mark(call))
    scripted_docker.stands("exited", 0, labels=mark(call))
    assert carry_out(CONTAINER, call, lambda: None) == 0
    assert begun(scripted_docker) == 0


def test_what_was_created_and_not_started_is_started(scripted_docker: ScriptedDocker, call: ToolCall) -> None:
    scripted_docker.stands("created", number=1, labels=mark(call))
    scripted_docker.stands("exited", 0, labels=mark(call))
    assert carry_out(CONTAINER, call, lambda: None) == 0
    assert (begun(scripted_docker), scripted_docker.verbs().count("start")) == (0, 1)


def test_what_was_begun_for_other_inputs_is_ended_and_begun_anew(
    scripted_docker: ScriptedDocker, call: ToolCall
) -> None:
    scripted_docker.stands("running", number=1, labels={FINGERPRINT: "other"})
    scripted_docker.stands("exited", 0)
    assert carry_out(CONTAINER, call, lambda: None) == 0
    verbs = [verb for verb in scripted_docker.verbs() if verb not in ("container", "logs")]
    assert verbs == ["stop", "rm", "create", "start", "rm"]


def test_the_mark_is_over_the_words_the_key_and_the_folder(call: ToolCall, tmp_path: Path) -> None:
    from dataclasses import replace

    one = mark(call)
    assert mark(call) == one
    other_key = replace(call, identity=CallIdentity("run", "baseline", "train", 1, "other"))
    elsewhere = replace(call, writes=files.make_folder(tmp_path / "elsewhere"))
    assert one not in (mark(other_key), mark(elsewhere))
    assert _marked(replace(CONTAINER, words=["b"]), call).labels != one


def test_a_container_that_is_gone_is_lost_and_begun_again_but_not_for_ever(
    scripted_docker: ScriptedDocker, call: ToolCall
) -> None:
    scripted_docker.says("container", error=GONE)
    for number in (2, 5, 8):  # after each beginning it stands once
        scripted_docker.stands("running", number=number)
    with pytest.raises(StageFailed, match="lost 3 times"):
        carry_out(CONTAINER, call, lambda: None)
    assert begun(scripted_docker) == 3
    assert call.log.read_text().count("was lost (it is gone); the call is run again") == 3


def test_an_exit_that_the_daemon_caused_is_a_loss_and_one_of_the_call_is_not(
    scripted_docker: ScriptedDocker, call: ToolCall
) -> None:
    scripted_docker.stands("running", number=1, labels=mark(call))
    scripted_docker.says("container", number=2, error=AWAY)
    scripted_docker.stands("exited", 255, number=3)
    scripted_docker.says("container", number=4, error=GONE)
    scripted_docker.stands("exited", 137)
    assert carry_out(CONTAINER, call, lambda: None) == 137
    assert begun(scripted_docker) == 1
    assert "ended from outside, code 255" in call.log.read_text()


def test_an_exit_after_a_status_is_the_calls_own(scripted_docker: ScriptedDocker, call: ToolCall) -> None:
    scripted_docker.stands("exited", 137, labels=mark(call))
    scripted_docker.says("logs", "Execution status: FAIL\n")
    assert carry_out(CONTAINER, call, lambda: None) == 137


def test_a_daemon_that_stays_away_leaves_the_container_alone(
    scripted_docker: ScriptedDocker, call: ToolCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_container, "AWAY_SECONDS", 0.05)
    scripted_docker.stands("running", number=1, labels=mark(call))
    scripted_docker.stands("running", number=2)
    scripted_docker.says("container", error=AWAY)
    with pytest.raises(EnvironmentMissing) as missing:
        carry_out(CONTAINER, call, lambda: None)
    assert "may still run" in missing.value.hint
    assert not {"rm", "stop"} & set(scripted_docker.verbs())


@pytest.mark.parametrize("verb", ["create", "start", "rm"])
def test_a_daemon_that_is_away_for_a_moment_is_waited_for_whatever_it_was_asked(
    scripted_docker: ScriptedDocker, call: ToolCall, verb: str
) -> None:
    scripted_docker.says(verb, number=1, error=AWAY)
    scripted_docker.says("container", number=1, error=GONE)
    if verb == "create":
        scripted_docker.says("container", number=2, error=GONE)
    if verb != "rm":
        scripted_docker.stands("created", number=3 if verb == "create" else 2)
    scripted_docker.stands("exited", 0)
    assert carry_out(CONTAINER, call, lambda: None) == 0
    done = [found for found in scripted_docker.verbs() if found in ("create", "start", "rm")]
    assert done == sorted(["create", "start", "rm", verb], key=["create", "start", "rm"].index)


def test_what_an_absent_daemon_did_before_its_answer_is_not_done_twice(
    scripted_docker: ScriptedDocker, call: ToolCall
) -> None:
    scripted_docker.says("container", number=1, error=GONE)
    scripted_docker.says("create", number=1, error=AWAY)
    scripted_docker.stands("created", number=2)
    scripted_docker.stands("created", number=3)
    scripted_docker.says("start", number=1, error=AWAY)
    scripted_docker.stands("exited", 0)
    assert carry_out(CONTAINER, call, lambda: None) == 0
    assert (begun(scripted_docker), scripted_docker.verbs().count("start")) == (1, 1)


def test_too_little_memory_is_named(scripted_docker: ScriptedDocker, call: ToolCall) -> None:
    scripted_docker.stands("exited", 137, labels=mark(call), out_of_memory=True)
    with pytest.raises(StageFailed, match="ran out of memory") as failed:
        carry_out(CONTAINER, call, lambda: None)
    assert "--batch-size" in failed.value.hint


def test_a_call_past_its_limit_is_stopped_and_removed(
    scripted_docker: ScriptedDocker, call: ToolCall
) -> None:
    scripted_docker.stands("running", labels=mark(call))
    with pytest.raises(StageFailed, match="past its time limit"):
        carry_out(CONTAINER, call, lambda: None, time_limit=-1)
    assert [verb for verb in scripted_docker.verbs() if verb in ("stop", "rm")] == ["stop", "rm"]


def test_a_stop_of_the_runner_stops_the_container(scripted_docker: ScriptedDocker, call: ToolCall) -> None:
    scripted_docker.stands("running", labels=mark(call))

    def asked() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(CONTAINER, call, asked)
    assert ["stop", "-t", "25", "deft-x"] in scripted_docker.calls
    assert scripted_docker.verbs()[-1] == "rm"


def test_a_container_that_does_not_start_is_removed(scripted_docker: ScriptedDocker, call: ToolCall) -> None:
    scripted_docker.says("container", error=GONE)
    scripted_docker.says("start", error="could not select device driver")
    with pytest.raises(EnvironmentMissing, match="a GPU"):
        carry_out(CONTAINER, call, lambda: None)
    assert scripted_docker.verbs()[-1] == "rm"
