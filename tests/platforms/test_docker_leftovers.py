"""What nobody waits for any more is ended with its words kept, and what has ended is left to the next run."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft.errors import EnvironmentMissing
from deft.platforms import docker_container
from deft.platforms.containers import last_status
from deft.platforms.docker_leftovers import LOG, end_left, end_other_attempts
from scripted_docker import ScriptedDocker

AWAY = "Cannot connect to the Docker daemon"
RUN = {"deft.run": "run_1", "deft.plan": "a" * 64}
LABELS = {**RUN, "deft.phase": "baseline", "deft.stage": "train", "deft.attempt": "2"}
FIRST = {**LABELS, "deft.attempt": "1"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_container, "POLL_SECONDS", 0.01)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "train.log"
    path.write_text("deft: container c0ffee1 of image\nhalf of its wor")
    return path


def acts(docker: ScriptedDocker) -> list[list[str]]:
    return [words for words in docker.calls if words[0] in ("stop", "rm")]


# --- deft stop -------------------------------------------------------------------------------


def test_what_is_at_work_is_stopped_its_words_kept_and_removed(
    scripted_docker: ScriptedDocker, log: Path
) -> None:
    scripted_docker.says("ps", "deft-x\n")
    scripted_docker.stands("running", number=1, labels={**FIRST, LOG: str(log)})
    scripted_docker.says("logs", "all of its words\n")
    assert end_left(RUN) == ["deft-x"]
    assert acts(scripted_docker) == [["stop", "-t", "25", "deft-x"], ["rm", "--force", "--volumes", "deft-x"]]
    assert log.read_text() == "deft: container c0ffee1 of image\nall of its words\n"


def test_words_are_kept_below_those_of_another_container(scripted_docker: ScriptedDocker, log: Path) -> None:
    scripted_docker.says("ps", "deft-x\n")
    scripted_docker.stands("running", number=7, labels={LOG: str(log)})
    scripted_docker.stands("running", labels={LOG: str(log)})
    scripted_docker.says("logs", "its words\n")
    end_left(RUN)
    assert log.read_text() == (
        "deft: container c0ffee1 of image\nhalf of its wor\ndeft: container c0ffeeNone of deft-x\nits words\n"
    )


def test_a_log_that_is_gone_keeps_nobody_from_ending_a_container(
    scripted_docker: ScriptedDocker, log: Path
) -> None:
    log.unlink()
    scripted_docker.says("ps", "deft-x\n")
    scripted_docker.stands("running", labels={LOG: str(log)})
    assert end_left(RUN) == ["deft-x"]
    assert not log.exists()


def test_what_has_ended_unseen_is_left_to_the_next_run(scripted_docker: ScriptedDocker, log: Path) -> None:
    scripted_docker.says("ps", "deft-x\n")
    scripted_docker.stands("exited", 0, labels={**FIRST, LOG: str(log)})
    assert end_left(RUN) == []
    assert acts(scripted_docker) == []


# --- another attempt -------------------------------------------------------------------------


def test_what_another_attempt_left_is_ended_before_the_next_one_begins(
    scripted_docker: ScriptedDocker, log: Path
) -> None:
    scripted_docker.says("ps", "deft-x\n")
    scripted_docker.stands("running", number=1, labels={**FIRST, LOG: str(log)})
    scripted_docker.says("logs", "Execution status: PASS\n")
    end_other_attempts(LABELS, log)
    assert [words[0] for words in acts(scripted_docker)] == ["stop", "rm"]
    assert "Execution status: PASS\ndeft: container deft-x of an earlier attempt was ended" in log.read_text()
    assert last_status(log) is None
    asked = {word.removeprefix("--filter=label=") for word in scripted_docker.calls[0]}
    assert asked >= {f"{key}={value}" for key, value in LABELS.items() if key != "deft.attempt"}


def test_the_attempts_own_container_is_left_to_be_found_again(
    scripted_docker: ScriptedDocker, log: Path
) -> None:
    scripted_docker.says("ps", "deft-x\n")
    scripted_docker.stands("running", labels={**LABELS, LOG: str(log)})
    end_other_attempts(LABELS, log)
    assert acts(scripted_docker) == []


@pytest.mark.parametrize("labels", [{"deft.call": "visual_changenet train"}, {**LABELS, "deft.plan": ""}])
def test_a_step_by_hand_and_a_run_without_a_plan_end_nothing(
    scripted_docker: ScriptedDocker, log: Path, labels: dict[str, str]
) -> None:
    scripted_docker.says("ps", "deft-x\n")
    scripted_docker.stands("running", labels=FIRST)
    end_other_attempts(labels, log)
    assert scripted_docker.calls == []


def test_a_daemon_that_is_away_for_a_moment_is_waited_for(scripted_docker: ScriptedDocker, log: Path) -> None:
    scripted_docker.says("ps", number=1, error=AWAY)
    scripted_docker.says("ps", "deft-x\n")
    scripted_docker.stands("running", labels=FIRST)
    scripted_docker.says("stop", number=1, error=AWAY)
    scripted_docker.says("rm", number=1, error=AWAY)
    end_other_attempts(LABELS, log)
    assert [words[0] for words in acts(scripted_docker)] == ["stop", "stop", "rm", "stop", "rm"]


def test_nothing_begins_while_the_daemon_stays_away(
    scripted_docker: ScriptedDocker, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_container, "AWAY_SECONDS", 0.05)
    scripted_docker.says("ps", error=AWAY)
    with pytest.raises(EnvironmentMissing, match="does not answer"):
        end_other_attempts(LABELS, log)
