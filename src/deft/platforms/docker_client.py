"""The docker command as this program uses it: no shell, a time limit, and an error with its name."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from deft.errors import DeftError, EnvironmentMissing, StageFailed
from deft.platforms.embedded import die_with_parent

PATIENCE_SECONDS = 60.0
GPU_CURE = (
    "install nvidia-container-toolkit, then: sudo nvidia-ctk runtime configure --runtime=docker && "
    "sudo systemctl restart docker"
)
NO_CLIENT = ("docker client is not installed", "install Docker: https://docs.docker.com/engine/install")
NO_DAEMON = ("docker daemon does not answer", "sudo systemctl start docker (or set DOCKER_HOST)")
NO_PERMISSION = (
    "docker daemon refuses you: permission denied on its socket",
    "sudo usermod -aG docker $USER, then log in again",
)
NO_GPU = ("docker cannot give a container a GPU", GPU_CURE)
NO_WRITE_PLACE = ("docker cannot mount a folder of this call", "the daemon must run on this machine")
SIGNS = (
    ("permission denied while trying to connect", NO_PERMISSION),
    ("cannot connect to the docker daemon", NO_DAEMON),
    ("error during connect", NO_DAEMON),
    ("the docker daemon is not running", NO_DAEMON),
    ("could not select device driver", NO_GPU),
    ("nvidia-container-cli", NO_GPU),
    ("bind source path does not exist", NO_WRITE_PLACE),
)
GONE = ("no such container", "no such object", "no such image")


class DaemonAway(EnvironmentMissing):
    """The daemon does not answer; it may come back."""


class CommandFailed(StageFailed):
    """A command inside a container, or docker itself, ended badly."""


class NotThere(DeftError):
    """No container or image of that name."""


@dataclass(frozen=True)
class State:
    """How a container stands: docker's own word for it, its exit code, its labels."""

    id: str
    status: str
    exit_code: int
    out_of_memory: bool
    labels: dict[str, str]

    @property
    def has_ended(self) -> bool:
        """Say whether it ran and runs no more."""
        return self.status in ("exited", "dead")

    @property
    def is_at_work(self) -> bool:
        """Say whether it runs; one that is being removed does neither."""
        return self.status in ("running", "paused", "restarting")


def docker(*words: str, timeout: float = PATIENCE_SECONDS) -> str:
    """Run one docker command and return its stdout.

    Raises EnvironmentMissing (DaemonAway where waiting may help), NotThere, or StageFailed with what it said.
    """
    try:
        done = subprocess.run(
            ["docker", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise EnvironmentMissing(NO_CLIENT[0], hint=NO_CLIENT[1]) from None
    except subprocess.TimeoutExpired:
        raise DaemonAway(f"{NO_DAEMON[0]} within {timeout:.0f} seconds", hint=NO_DAEMON[1]) from None
    if done.returncode == 0:
        return done.stdout
    raise named_error(words, done.stderr or done.stdout)


def named_error(words: Sequence[str], said: str) -> DeftError:
    """Return what docker's message means, with its cure."""
    text = " ".join(said.split())
    for sign, meaning in SIGNS:
        if sign in text.lower():
            kind = DaemonAway if meaning is NO_DAEMON else EnvironmentMissing
            return kind(meaning[0], value=text[:300], hint=meaning[1])
    if any(sign in text.lower() for sign in GONE):
        return NotThere(f"docker {words[0]} found nothing", value=text[:300])
    return CommandFailed(f"docker {words[0]} failed", value=text[:600])


def has_client() -> bool:
    """Say whether a docker client is on the PATH."""
    return shutil.which("docker") is not None


def daemon_facts() -> dict[str, Any]:
    """Return what the daemon says of itself."""
    facts: dict[str, Any] = json.loads(docker("info", "--format", "{{json .}}", timeout=15))
    if facts.get("ServerErrors"):
        raise named_error(("info",), "; ".join(facts["ServerErrors"]))
    return facts


def image_facts(reference: str) -> dict[str, Any] | None:
    """Return what the daemon knows of an image; None where it has no such image."""
    try:
        facts: dict[str, Any] = json.loads(docker("image", "inspect", "--format", "{{json .}}", reference))
    except NotThere:
        return None
    return facts


def state_of(name: str) -> State | None:
    """Return how a container stands; None where there is none of that name."""
    try:
        found = json.loads(docker("container", "inspect", "--format", "{{json .}}", name))
    except NotThere:
        return None
    state = found["State"]
    return State(
        id=found["Id"],
        status=state["Status"],
        exit_code=int(state["ExitCode"]),
        out_of_memory=bool(state.get("OOMKilled")),
        labels=found["Config"]["Labels"] or {},
    )


def names_with(labels: Mapping[str, str]) -> list[str]:
    """Return the names of all containers, running or not, that bear these labels."""
    filters = [f"--filter=label={key}={value}" for key, value in labels.items()]
    return sorted(docker("ps", "--all", "--format={{.Names}}", *filters).split())


def remove(name: str) -> None:
    """Remove a container, running or not; one that is gone is removed."""
    try:
        docker("rm", "--force", "--volumes", name)
    except NotThere:
        return


def stop(name: str, grace_seconds: int) -> None:
    """Ask a container to end, and make it after the grace; one that is gone has ended."""
    try:
        docker("stop", "-t", str(grace_seconds), name, timeout=grace_seconds + PATIENCE_SECONDS)
    except NotThere:
        return


def follow_logs(name: str, log: Path, offset: int) -> subprocess.Popen[bytes]:
    """Start writing all that a container says into a log from an offset on, in place of what stood there."""
    with open(log, "r+b") as stream:
        stream.truncate(offset)
        stream.seek(offset)
        return _logs(stream, "--follow", name)


def collect_logs(name: str, log: Path, offset: int) -> None:
    """Write what a container said into a log from an offset on; leave the log where docker cannot tell."""
    with tempfile.TemporaryFile() as said:
        if _logs(said, name).wait() != 0:
            return
        said.seek(0)
        with open(log, "r+b") as stream:
            stream.truncate(offset)
            stream.seek(offset)
            shutil.copyfileobj(said, stream)


def _logs(stream: IO[bytes], *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["docker", "logs", *words],
        stdin=subprocess.DEVNULL,
        stdout=stream,
        stderr=subprocess.STDOUT,
        preexec_fn=die_with_parent,
    )
