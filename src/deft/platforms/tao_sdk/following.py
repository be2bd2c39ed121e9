"""Wait for a job's own last word, and end a job that nobody is to wait for any more."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from deft.errors import EnvironmentMissing, StageFailed
from deft.platforms.tao_sdk.backends import PlatformSdk
from deft.platforms.tao_sdk.jobs import Job
from deft.platforms.tao_sdk.storage import Storage

ENDED = ("Complete", "Error", "Canceled")
AT_WORK = ("Running", "Canceling")
STUCK = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "CreateContainerConfigError")
SIGNALLED = (-2, -9, -15, 130, 137, 143)  # INT, KILL and TERM, as Python and as a shell tell them
LAST_LINES = 200
Record = dict[str, Any]


class Ending(Enum):
    """How a job ended, by the word of its own result and of nobody else."""

    DONE = "done"
    FAILED = "failed"
    LOST = "lost"


def ending_of(result: Record) -> Ending:
    """Return what a result says; calls that a signal ended, as a drained node does, were lost."""
    codes = result["codes"]
    if not any(codes):
        return Ending.DONE
    return Ending.LOST if codes[-1] in SIGNALLED else Ending.FAILED


@dataclass
class Follower:
    """Waits for a job's last word; what the SDK says only tells how long to wait for it."""

    sdk: PlatformSdk
    storage: Storage
    settings: Mapping[str, Any]
    unseen_since: float | None = None

    def follow(self, job: Job) -> tuple[Ending, Record]:
        """Return how the job ended, with its result, or with the SDK's reason where it left none."""
        self.unseen_since = None
        while True:
            result = self.last_word(job)
            if result is not None:
                return ending_of(result), result
            seen = self.sdk.get_job_status(job.job)
            reason = self._reason(job)
            if seen.status in ENDED or reason.get("err_class") == "ERR_INFRA" or self._is_lost(job, seen):
                last = self.last_word(job)
                return (ending_of(last), last) if last else (Ending.LOST, reason)
            time.sleep(self._poll_seconds)

    def last_word(self, job: Job) -> Record | None:
        """Ask for a job's result until the storage answers; one that is silent for too long is told."""
        begun = time.monotonic()
        while True:
            try:
                return self.storage.result(job.nonce)
            except OSError as error:
                if time.monotonic() - begun > self._patience:
                    raise _silent(error) from None
            time.sleep(self._poll_seconds)

    def keep_log(self, job: Job, log: Path) -> None:
        """Put what the place still knows of a job's output behind a log; it may know nothing."""
        with contextlib.suppress(Exception):  # every SDK has its own errors, and the job is lost anyway
            text = self.sdk.get_job_logs(job.job, tail=LAST_LINES)
            with open(log, "a", encoding="utf-8", errors="replace") as stream:
                stream.write(text + "\n" if text else "")

    # --- ending it -------------------------------------------------------------------------------

    def withdraw(self, job: Job) -> bool:
        """Keep a job from beginning; say whether the place knows it by a name and may have begun it.

        One whose submission was cut short has no name here until it says so itself. It is withdrawn first:
        whoever begins later reads that.
        """
        self.storage.withdraw(job.nonce)
        if not job.job and (name := self.storage.started(job.nonce)):
            job.job = name
            job.note()
        return bool(job.job)

    def end(self, job: Job) -> None:
        """Cancel a job and take what it brings back within the time that a checkpoint needs.

        Raises EnvironmentMissing, and leaves the note, where nobody confirms that the job has ended.
        """
        result = self._brought_back(job, float(self.settings.get("grace_seconds", 30)))
        if result is not None and job.folder.is_dir():
            self.storage.take(job.nonce, result, job.folder)
        job.forget()

    def drop(self, job: Job) -> None:
        """End a job whose outputs nobody wants: what is submitted next must not run beside it."""
        if self.last_word(job) is None:
            self._brought_back(job, 0)
        job.forget()

    def _brought_back(self, job: Job, grace: float) -> Record | None:
        """Cancel a job; return its result, waiting for it only while the place says that the job runs."""
        if not self.withdraw(job):
            return self.storage.result(job.nonce)
        is_ended = self.sdk.cancel_job(job.job)
        deadline = time.monotonic() + grace
        while (result := self.storage.result(job.nonce)) is None:
            status = self._status(job)
            if status not in AT_WORK or time.monotonic() >= deadline:
                break
            time.sleep(min(1.0, self._poll_seconds))
        if result is None and not is_ended and status not in ENDED:
            raise _not_ended(job)
        return result if result is not None else self.storage.result(job.nonce)

    # --- what the place says ---------------------------------------------------------------------

    @property
    def _poll_seconds(self) -> float:
        return float(self.settings.get("poll_seconds", 10))

    @property
    def _patience(self) -> float:
        return float(self.settings.get("lost_seconds", 1800))

    def _status(self, job: Job) -> str:
        return str(self.sdk.get_job_status(job.job).status)

    def _reason(self, job: Job) -> Record:
        return self.sdk.get_failure_analysis(job.job) or self._stuck(job)

    def _stuck(self, job: Job) -> Record:
        """Return why a pod cannot begin; a cluster counts it among the active, so no status says it."""
        replicas: list[Record] = getattr(self.sdk, "get_job_replicas", lambda name: [])(job.job)
        issues = [replica["status"].get("readiness_issue") or {} for replica in replicas]
        reasons = [issue for issue in issues if issue.get("reason") in STUCK]
        if not reasons:
            return {}
        words = (
            f"{reasons[0]['reason']}: {reasons[0].get('message') or 'look at the image and its pull secret'}"
        )
        return {"err_class": "ERR_INFRA", "suggestion": words}

    def _is_lost(self, job: Job, seen: Any) -> bool:
        """Say whether nobody has seen the job for longer than patience lasts."""
        if not self._is_unseen(job, seen):
            self.unseen_since = None
            return False
        now = time.monotonic()
        self.unseen_since = self.unseen_since or now
        return now - self.unseen_since > self._patience

    def _is_unseen(self, job: Job, seen: Any) -> bool:
        """Say whether the place has lost sight of a job; one that waits for its turn may wait for ever.

        The SDK says Pending, and no word more, of a job that never arrived, and Pending of one that somebody
        removed: what has begun does not wait any more.
        """
        if seen.status != "Pending":
            return str(seen.status) == "Unknown"
        if not seen.message:
            return True
        with contextlib.suppress(OSError):  # a silent storage is told where the last word is asked for
            return self.storage.has_begun(job.nonce)
        return False


def _silent(error: OSError) -> StageFailed:
    return StageFailed(
        "object storage does not answer",
        value=" ".join(str(error).split())[:200],
        hint="the job goes on; when the storage answers, deft run takes it over",
    )


def _not_ended(job: Job) -> EnvironmentMissing:
    return EnvironmentMissing(
        "job may still run: its place does not confirm that it ended",
        value=job.job,
        hint=f"try again when the place answers; if it no longer knows the job, remove {job.path}",
    )
