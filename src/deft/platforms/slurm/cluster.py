"""The few commands of Slurm that are used, each as a list of words: no shell, no environment of the user.

A job is known by its name alone, which nobody else has: a controller that lost its state gives numbers
out again.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from deft.errors import EnvironmentMissing, StageFailed
from deft.platforms.slurm.settings import seconds_of

PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
CONFIGURATION = ("SLURM_CONF", "SLURM_CLUSTERS")
REFUSED = re.compile(
    r"invalid|requested|not permitted|denied|violates|exceed|unrecognized|fatal:|unable to open|not valid",
    re.IGNORECASE,
)
ACTIVE = {
    "PENDING",
    "RUNNING",
    "CONFIGURING",
    "COMPLETING",
    "SUSPENDED",
    "STOPPED",
    "SIGNALING",
    "STAGE_OUT",
    "REQUEUED",
    "REQUEUE_HOLD",
    "REQUEUE_FED",
    "RESIZING",
    "SPECIAL_EXIT",
    "RESV_DEL_HOLD",
}
PATIENCE_SECONDS = 60.0


class ControllerSilent(Exception):
    """Slurm did not answer a question; it says nothing about the job."""


@dataclass(frozen=True)
class Seen:
    """What Slurm says of a job at one moment."""

    number: str
    state: str
    reason: str
    seconds_left: int | None

    @property
    def active(self) -> bool:
        """Say whether the job waits or runs."""
        return self.state in ACTIVE

    @property
    def at_work(self) -> bool:
        """Say whether nobody has ended the job yet: a completing one ends by itself."""
        return self.active and self.state != "COMPLETING"


def submit(words: Sequence[str]) -> tuple[str | None, str]:
    """Submit; return the job's number and nothing, or None and why nobody knows whether there is a job.

    Raises StageFailed where Slurm says no, with its reason.
    """
    done = _call(["sbatch", *words])
    if done is None:
        return None, "sbatch did not answer"
    number = done.stdout.strip().partition(";")[0]
    if done.returncode == 0 and number.isdigit():
        return number, ""
    said = _one_line(done.stderr or done.stdout)
    if REFUSED.search(said):
        raise StageFailed(
            f"Slurm refused the job: {said}",
            hint="correct section slurm of specs/platforms.yaml, then: deft doctor --platform slurm",
        )
    return None, said or "sbatch said nothing"


def look_up(name: str) -> Seen | None:
    """Return what Slurm knows of the job of this name, None where it knows of none.

    Raises ControllerSilent where it does not answer.
    """
    text = ask("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%i|%T|%L|%r")
    rows = [line.strip().split("|", 3) for line in text.splitlines() if line.count("|") >= 3]
    found = [Seen(number, state, reason, seconds_of(left)) for number, state, left, reason in rows]
    return next((seen for seen in found if seen.active), found[-1] if found else None)


def signal_job(name: str) -> None:
    """Send TERM to the job's script and steps; a job that does not run takes no signal."""
    _call(["scancel", "--signal=TERM", "--full", f"--name={name}"])


def cancel(name: str) -> bool:
    """End the job of this name, whether it waits or runs; say whether Slurm has taken the order.

    It is no fault if there is no such job.
    """
    done = _call(["scancel", f"--name={name}"])
    return done is not None and done.returncode == 0


def ask(*words: str) -> str:
    """Return what a command of Slurm prints; raises ControllerSilent where it fails or takes a minute."""
    done = _call(list(words))
    if done is None or done.returncode != 0:
        raise ControllerSilent(_one_line(done.stderr) if done else f"{words[0]} did not answer")
    return done.stdout


def _call(words: list[str]) -> subprocess.CompletedProcess[str] | None:
    kept = {name: os.environ[name] for name in (*PASSED_ON, *CONFIGURATION) if name in os.environ}
    try:
        return subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=kept,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    except FileNotFoundError:
        raise EnvironmentMissing(
            "command of Slurm is not on this machine",
            value=words[0],
            hint="run deft on a submission host of the cluster",
        ) from None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
