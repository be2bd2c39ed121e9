"""What became of a job: judged from its own result file first, from Slurm's word only where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from deft.platforms.slurm import cluster
from deft.platforms.slurm.cluster import ControllerSilent, Seen
from deft.platforms.slurm.jobs import Job, Result, read_result
from deft.platforms.slurm.settings import SlurmSettings

SIGNAL_SECONDS_BEFORE_LIMIT = 60
NEVER_STARTS = {
    "PartitionTimeLimit",
    "PartitionNodeLimit",
    "BadConstraints",
    "AssocMaxWallDurationPerJobLimit",
    "QOSMaxWallDurationPerJobLimit",
    "AccountNotAllowed",
    "QOSNotAllowed",
    "InvalidAccount",
    "InvalidQOS",
    "Licenses (invalid)",
}
LAUNCH_FAILED = "launch failed"
STOP_SECONDS = 20.0
POLLS_PER_STOP = 100
SETTLE_SECONDS = 5.0


class Ending(Enum):
    """How a submission ended."""

    DONE = "its result is there and holds"
    FAILED = "a tool ended badly"
    STOPPED = "this program stopped it"
    CANCELLED = "somebody else cancelled it"
    TIME = "it reached its time limit"
    MEMORY = "it used more memory than it was given"
    NEVER = "Slurm will never start it"
    UNSEEN = "the node could not write to the workspace"
    LOST = "it is gone without a result"


@dataclass(frozen=True)
class Verdict:
    """How a submission ended, which one it was, and what Slurm said."""

    ending: Ending
    job: Job
    detail: str = ""


@dataclass(frozen=True)
class Sight:
    """All that is known of a job at one moment.

    `inactive_seconds` is how long Slurm has answered that the job neither waits nor runs, `seconds_left` what
    was left of the time limit when it was last seen to run. `number_was_used` where a controller that lost
    its state gave the number of an older job out again: it then kills the one for the other.
    """

    seen: Seen | None
    result: Result | None
    inactive_seconds: float
    was_started: bool = False
    asked_to_stop: bool = False
    seconds_left: int | None = None
    number_was_used: bool = False


def judge(sight: Sight, grace_seconds: float, *, margin_seconds: float = 0.0) -> Ending | None:
    """Return how the job ended, None while it may still turn out well.

    `margin_seconds`: how old the last sight of a running job may be.
    """
    if sight.result is not None and sight.result.passed:
        return Ending.DONE
    if sight.result is not None and not sight.result.signalled:
        return Ending.FAILED
    if sight.seen is not None and sight.seen.active:
        return _judge_waiting(sight.seen)
    if sight.asked_to_stop:
        return Ending.STOPPED
    if sight.result is not None and _time_is_up(sight, margin_seconds):
        return Ending.TIME
    return _judge_gone(sight, grace_seconds)


def _judge_waiting(seen: Seen) -> Ending | None:
    if seen.state != "PENDING":
        return None
    if seen.reason in NEVER_STARTS:
        return Ending.NEVER
    return Ending.LOST if seen.reason.startswith(LAUNCH_FAILED) else None


def _time_is_up(sight: Sight, margin_seconds: float) -> bool:
    left = sight.seconds_left
    return left is not None and left <= SIGNAL_SECONDS_BEFORE_LIMIT + 30 + margin_seconds


def _judge_gone(sight: Sight, grace_seconds: float) -> Ending | None:
    state = sight.seen.state if sight.seen else ""
    said = {
        "TIMEOUT": Ending.TIME,
        "DEADLINE": Ending.TIME,
        "OUT_OF_MEMORY": Ending.MEMORY,
        "CANCELLED": Ending.CANCELLED,
    }.get(state)
    if said is Ending.CANCELLED and sight.number_was_used:
        return Ending.LOST
    if said is not None:
        return said
    if sight.result is not None and state == "FAILED":  # it was signalled, and not by the time limit
        return Ending.CANCELLED
    if sight.inactive_seconds < grace_seconds:
        return None
    return Ending.UNSEEN if state == "FAILED" and not sight.was_started else Ending.LOST


class Follower:
    """Looks at one job until it has ended; the results of earlier submissions count as well."""

    def __init__(
        self,
        job: Job,
        earlier: Sequence[Job],
        settings: SlurmSettings,
        show_progress: Callable[[], None],
        used_numbers: frozenset[str] = frozenset(),
    ) -> None:
        self._job, self._earlier, self._settings = job, earlier, settings
        self._used_numbers = used_numbers
        self._show_progress = show_progress
        self._inactive_since: float | None = None
        self._seconds_left: int | None = None

    def follow(self) -> Verdict:
        """Wait for the end. A controller that does not answer is waited for without limit."""
        while True:
            self._show_progress()
            for job in self._earlier:
                result = read_result(job)
                if result is not None and result.passed:
                    return Verdict(Ending.DONE, job)
            sight = self._look()
            if sight is not None:
                settings = self._settings
                ending = judge(sight, settings.grace_seconds, margin_seconds=2 * settings.poll_seconds)
                if ending is not None:
                    return Verdict(ending, self._job, _said(sight.seen))
            time.sleep(self._settings.poll_seconds)

    def _look(self) -> Sight | None:
        """Return what is known; None where only the controller could tell and it is silent.

        Slurm is asked before the result is read: a job that ended between the two left its result.
        """
        try:
            seen = cluster.look_up(self._job.name)
        except ControllerSilent:
            result = read_result(self._job)
            decided = result is not None and not result.signalled
            return Sight(None, result, 0.0) if decided else None
        self._note(seen)
        since = self._inactive_since
        return Sight(
            seen,
            read_result(self._job),
            time.monotonic() - since if since is not None else 0.0,
            self._job.was_started,
            self._job.asked_to_stop,
            self._seconds_left,
            seen is not None and seen.number in self._used_numbers,
        )

    def _note(self, seen: Seen | None) -> None:
        if seen is not None and seen.active:
            self._inactive_since = None
            if seen.state == "RUNNING":
                self._seconds_left = seen.seconds_left
        elif self._inactive_since is None:
            self._inactive_since = time.monotonic()


def _said(seen: Seen | None) -> str:
    if seen is None:
        return "Slurm does not know it any more"
    reason = "" if seen.reason in ("", "None", "(null)") else f", {seen.reason}"
    return f"Slurm says {seen.state}{reason}"


def stop(job: Job) -> bool:
    """Ask a job to end (a training writes its checkpoint), then cancel it whatever it does.

    The record says first that it was this program: a later look must not take it for somebody else's. Return
    whether Slurm confirms the end; a job that goes on is found by its name at the next start.
    """
    job.note(asked_to_stop=True)
    job.forget_token()
    with suppress(ControllerSilent):
        _ask_for_checkpoint(job)
    return cluster.cancel(job.name) and _is_ended(job)


def _ask_for_checkpoint(job: Job) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    seen = cluster.look_up(job.name)
    if seen is not None and seen.active and seen.state != "PENDING":
        cluster.signal_job(job.name)
    while seen is not None and seen.active and seen.state != "PENDING" and time.monotonic() < deadline:
        if read_result(job) is not None:
            return
        time.sleep(STOP_SECONDS / POLLS_PER_STOP)
        seen = cluster.look_up(job.name)


def _is_ended(job: Job) -> bool:
    """Look until Slurm shows that the job has ended, for a moment only."""
    deadline = time.monotonic() + SETTLE_SECONDS
    try:
        while is_at_work(job):
            if time.monotonic() > deadline:
                return False
            time.sleep(SETTLE_SECONDS / POLLS_PER_STOP)
    except ControllerSilent:
        return False
    return True


def is_at_work(job: Job) -> bool:
    """Ask Slurm whether a job waits or runs, whatever was asked of it; raises ControllerSilent."""
    seen = cluster.look_up(job.name) if job.may_be_at_work else None
    return seen is not None and seen.at_work
