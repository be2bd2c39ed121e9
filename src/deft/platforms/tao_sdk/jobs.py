"""One submission: noted before it is made, followed to its own last word, adopted after a kill."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from deft import files
from deft.errors import StageFailed
from deft.platforms.base import ToolCall
from deft.platforms.tao_sdk import carry
from deft.platforms.tao_sdk.backends import PlatformSdk
from deft.platforms.tao_sdk.storage import Storage

NOTE = "tao_job.json"
ENDED = ("Complete", "Error", "Canceled")
STUCK = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "CreateContainerConfigError")
UNSEEN = ("Pending", "Unknown")
LAST_LINES = 200
Record = dict[str, Any]


class Ending(Enum):
    """How a job ended, by the word of its own result and of nobody else."""

    DONE = "done"
    FAILED = "failed"
    LOST = "lost"


@dataclass
class Job:
    """A submission by its nonce, which names its folder in the storage, and the SDK's own name of it."""

    folder: Path
    signature: str
    nonce: str
    job: str = ""

    @classmethod
    def noted(cls, folder: Path, signature: str) -> Job | None:
        """Return the job that an earlier process noted for the very same calls."""
        found = cls.found(folder)
        return found if found and found.signature == signature else None

    @classmethod
    def found(cls, folder: Path) -> Job | None:
        """Return the job that was noted in a folder, whatever for."""
        path = folder / NOTE
        return cls(folder, **files.read_json(path)) if path.is_file() else None

    @classmethod
    def new(cls, folder: Path, signature: str) -> Job:
        """Note a job before it is submitted."""
        job = cls(folder, signature, secrets.token_hex(8))
        job.note()
        return job

    def note(self) -> None:
        """Write what a later process needs to find the job again."""
        record = {"signature": self.signature, "nonce": self.nonce, "job": self.job}
        files.write_json(self.folder / NOTE, record)

    def forget(self) -> None:
        """Remove the note: nobody is to take this job over."""
        (self.folder / NOTE).unlink(missing_ok=True)


def command(job: Job, storage: Storage, tree: str, calls: Sequence[tuple[ToolCall, list[str]]]) -> str:
    """Return the shell command of a job; the program that carries the calls out travels inside it."""
    order = {
        "job": storage.url(f"jobs/{job.nonce}"),
        "tree": storage.url(tree),
        "blobs": storage.url("blobs"),
        "output": str(job.folder.absolute()),
        "calls": [{"words": words, "log": str(call.log.absolute())} for call, words in calls],
    }
    program = base64.b64encode(Path(carry.__file__).read_bytes()).decode()
    return "\n".join(
        [
            "python -c 'import s3fs' 2>/dev/null || python -m pip install --quiet s3fs",
            f"echo {program} | base64 -d > /tmp/deft_carry.py",
            shlex.join(["exec", "python", "/tmp/deft_carry.py", json.dumps(order)]),
        ]
    )


@dataclass
class Follower:
    """Waits for a job's last word; what the SDK says only tells how long to wait for it."""

    sdk: PlatformSdk
    storage: Storage
    settings: Mapping[str, Any]
    unseen_since: float | None = None

    def follow(self, job: Job) -> tuple[Ending, Record]:
        """Return how the job ended, with its result, or with the SDK's reason where it left none."""
        while True:
            result = self._last_word(job)
            if result is not None:
                return (Ending.FAILED if any(result["codes"]) else Ending.DONE), result
            status = self._status(job)
            reason = self._reason(job)
            if status in ENDED or reason.get("err_class") == "ERR_INFRA" or self._is_lost(status):
                last = self._last_word(job)
                return (Ending.DONE, last) if last and not any(last["codes"]) else (Ending.LOST, reason)
            time.sleep(self._poll_seconds)

    def _last_word(self, job: Job) -> Record | None:
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

    def end(self, job: Job) -> None:
        """Cancel a job and take what it brings back within the time that a checkpoint needs."""
        self.storage.withdraw(job.nonce)
        self.sdk.cancel_job(job.job)
        deadline = time.monotonic() + float(self.settings.get("grace_seconds", 30))
        while (result := self.storage.result(job.nonce)) is None and time.monotonic() < deadline:
            time.sleep(min(1.0, self._poll_seconds))
        if result is not None:
            self.storage.take(job.nonce, result, job.folder)
        job.forget()

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

    def _is_lost(self, status: str) -> bool:
        """Say whether nobody has seen the job for longer than patience lasts."""
        if status not in UNSEEN:
            self.unseen_since = None
            return False
        now = time.monotonic()
        self.unseen_since = self.unseen_since or now
        return now - self.unseen_since > self._patience


def _silent(error: OSError) -> StageFailed:
    return StageFailed(
        "object storage does not answer",
        value=" ".join(str(error).split())[:200],
        hint="the job goes on; when the storage answers, deft run takes it over",
    )
