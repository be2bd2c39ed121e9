"""Carry out the tool calls of a stage as one job of a place that NVIDIA's SDK reaches."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from deft import files
from deft.errors import DeftError, EnvironmentMissing, StageFailed, storage_fault
from deft.platforms.base import Check, Platform, ToolCall
from deft.platforms.containers import (
    IMAGE_SETTINGS,
    image_of,
    require_carried,
    require_passed,
    spec_checks,
    stays_on_host,
)
from deft.platforms.embedded import EmbeddedPlatform
from deft.platforms.gap_metrics import complete_metrics
from deft.platforms.tao_sdk.backends import (
    BREV,
    KUBERNETES,
    REMOTE_SLURM,
    Backend,
    environment_of,
)
from deft.platforms.tao_sdk.following import Ending, Follower, ending_of
from deft.platforms.tao_sdk.jobs import Job, command, jobs_of
from deft.platforms.tao_sdk.storage import Storage
from deft.platforms.tao_sdk.work import JOBS, Work
from deft.progress import Progress
from deft.workspace.layout import RunFolder, Workspace

SUBMISSIONS = 3
Record = dict[str, Any]


class TaoSdkPlatform(Platform):
    """Send the inputs, submit, follow, take the verified outputs; a lost job is submitted anew."""

    backend: ClassVar[Backend]
    known_settings: ClassVar[tuple[str, ...]] = (
        *IMAGE_SETTINGS,
        "gap_analysis",
        "poll_seconds",
        "lost_seconds",
        "grace_seconds",
    )

    def checks(self, workspace: Path) -> list[Check]:
        """Look for the SDK, the storage, the images by digest and the place itself."""
        spec = spec_checks(Workspace(workspace).baseline_spec)
        return [*self._package(), *self._images(), *spec, *self._reachable((workspace,))]

    def run(self, calls: Sequence[ToolCall], progress: Progress) -> None:
        """Carry out the calls in order: neighbours of one image that leave this machine are one job."""
        for place, group in groupby(calls, key=self._place):
            if place is None:
                EmbeddedPlatform().run(list(group), progress)
            else:
                self._run_as_job(Work(tuple(group), place), progress)

    def end(self, run: RunFolder) -> list[str]:
        """Cancel the jobs of a run that left no result, and take what they bring back."""
        jobs = [job for place in sorted((run.runner / JOBS).glob("*")) for job in jobs_of(place)]
        if not jobs:
            return []
        storage = Storage((run.workspace.root,))
        with environment_of(storage.folders), _answering():
            left = _without_result(jobs, storage)
            return _end_all(left, Follower(self.backend.connect(), storage, self.settings)) if left else []

    def _place(self, call: ToolCall) -> str | None:
        return (
            None if stays_on_host(call, self.settings) else image_of(call.category, self.settings).reference
        )

    # --- one job ---------------------------------------------------------------------------------

    def _run_as_job(self, work: Work, progress: Progress) -> None:
        for call in work.calls:
            require_carried(call)
        files.make_folder(work.folder)
        storage = Storage(work.calls[0].reads)
        title = work.calls[0].title or work.calls[0].name
        with environment_of(storage.folders), progress.task(title, total=None):
            job, result = self._result(work, Follower(self.backend.connect(), storage, self.settings))
        try:
            self._take(job, result, work, storage, progress)
        except DeftError:
            job.forget()  # a failure is told once: the next attempt is a job of its own
            raise
        if work.is_by_hand:
            job.forget()

    def _take(self, job: Job, result: Record, work: Work, storage: Storage, progress: Progress) -> None:
        storage.take(job.nonce, result, work.folder)
        job.taken = work.attempt
        job.note()
        for call, code in zip(work.calls, result["codes"], strict=False):
            require_passed(call, code)
            complete_metrics(call, progress)

    def _result(self, work: Work, follower: Follower) -> tuple[Job, Record]:
        """Return the job that stands for the calls and its last word."""
        try:
            return self._followed(work, follower)
        except Exception:  # the job goes on, and the next run takes it over
            raise
        except BaseException:  # asked to stop: what was done so far is kept
            with contextlib.suppress(Exception):  # a note that stays lets deft stop try again
                _end_all(_without_result(jobs_of(work.place), follower.storage), follower)
            raise

    def _followed(self, work: Work, follower: Follower) -> tuple[Job, Record]:
        """Follow a job to its end, submitting as often as it takes."""
        adopted = _adopted(work, follower)
        for _ in range(SUBMISSIONS):
            job = adopted or self._submit(work, follower)
            ending, record = follower.follow(job)
            if ending is not Ending.LOST:
                return job, record
            _give_up(job, record, work, follower)
            adopted = None
        raise StageFailed(
            f"{work.calls[0].name} was lost {SUBMISSIONS} times",
            value=work.calls[-1].log,
            hint="read what the place kept of its output, look at the cluster, then deft run again",
        )

    def _submit(self, work: Work, follower: Follower) -> Job:
        job = Job.new(work.place, work.folder, work.signature, work.key)
        commands = work.commands()
        text = command(job, follower.storage, follower.storage.send(work.inputs()), commands)
        chosen = self.backend.chosen(self.settings)
        created = follower.sdk.create_job(work.image, text, gpu_count=work.gpus, **chosen)
        job.job = str(created.id)
        job.note()
        return job

    # --- checks ----------------------------------------------------------------------------------

    def _package(self) -> Iterator[Check]:
        found = importlib.util.find_spec("tao_sdk") is not None
        cure = f"pip install 'deft-aoi[tao-sdk]' (nvidia-tao-sdk[{self.backend.extra}])"
        yield Check("nvidia-tao-sdk", found, "found" if found else "not installed", cure)

    def _images(self) -> Iterator[Check]:
        for category in ("visual_changenet", "embedding"):
            try:
                yield Check(f"image of {category}", True, image_of(category, self.settings).reference)
            except DeftError as error:
                yield Check(f"image of {category}", False, error.fact, error.hint or "")

    def _reachable(self, folders: tuple[Path, ...]) -> list[Check]:
        """Ask the storage and the place whether they answer; nothing is started."""
        checks = []
        for name, ask in (("storage", lambda: Storage(folders)), (self.name, self.backend.connect)):
            try:
                with environment_of(folders):
                    ask()
                checks.append(Check(name, True, "answers"))
            except DeftError as error:
                checks.append(Check(name, False, error.fact, error.hint or ""))
        return checks


class KubernetesPlatform(TaoSdkPlatform):
    """Jobs of a Kubernetes cluster."""

    name: ClassVar[str] = "kubernetes"
    backend: ClassVar[Backend] = KUBERNETES
    known_settings: ClassVar[tuple[str, ...]] = (
        *TaoSdkPlatform.known_settings,
        *KUBERNETES.options,
        *("shard_image", "shard_python", "claim", "claim_mount"),
    )


class BrevPlatform(TaoSdkPlatform):
    """Jobs on a rented instance."""

    name: ClassVar[str] = "brev"
    backend: ClassVar[Backend] = BREV
    known_settings: ClassVar[tuple[str, ...]] = (*TaoSdkPlatform.known_settings, *BREV.options)


class RemoteSlurmPlatform(TaoSdkPlatform):
    """Jobs of a Slurm cluster that is reached through SSH and shares no file system with this machine."""

    name: ClassVar[str] = "remote-slurm"
    backend: ClassVar[Backend] = REMOTE_SLURM
    known_settings: ClassVar[tuple[str, ...]] = (*TaoSdkPlatform.known_settings, *REMOTE_SLURM.options)


# --- jobs of earlier processes and attempts ------------------------------------------------------


def _adopted(work: Work, follower: Follower) -> Job | None:
    """Return the job that was begun for these very calls; end what was begun for other inputs."""
    found = None
    for job in jobs_of(work.place):
        if work.is_by_hand or job.key != work.key:
            follower.drop(job)
        elif job.signature == work.signature:
            found = job if _is_worth_following(job, work, follower) else None
    if found:
        found.folder = work.folder
        found.note()
    return found


def _is_worth_following(job: Job, work: Work, follower: Follower) -> bool:
    """Say whether a job may still bring what is wanted; forget one that cannot.

    Outputs that an earlier attempt took made that attempt fail, and would make every later one fail, too.
    """
    result = follower.last_word(job)
    if result is None:
        is_known = bool(job.job) or follower.withdraw(job)
    else:
        is_known = ending_of(result) is Ending.DONE and job.taken in (0, work.attempt)
    if not is_known:
        if result is not None and not job.taken:
            _keep_work(job, result, work, follower)
        job.forget()
    return is_known


def _keep_work(job: Job, result: Record, work: Work, follower: Follower) -> None:
    with contextlib.suppress(DeftError):  # what is not whole is no loss: the calls are carried out again
        follower.storage.take(job.nonce, result, work.folder)


def _give_up(job: Job, record: Record, work: Work, follower: Follower) -> None:
    """Keep what a lost job has done or said, and let it neither begin nor go on."""
    if "codes" in record:
        _keep_work(job, record, work, follower)
    else:
        follower.keep_log(job, work.calls[-1].log)
    follower.storage.withdraw(job.nonce)
    follower.sdk.cancel_job(job.job)
    job.forget()
    _require_another(work.calls[0], record)


def _require_another(call: ToolCall, reason: Record) -> None:
    """Raise where submitting again cannot help: the place says what is wrong with the job itself."""
    suggestion = str(reason.get("suggestion") or "")
    if reason.get("err_class") == "ERR_INFRA" and suggestion:
        raise StageFailed(f"{call.name} cannot be started there", hint=" ".join(suggestion.split())[:300])


def _without_result(jobs: Sequence[Job], storage: Storage) -> list[Job]:
    return [job for job in jobs if not job.taken and storage.result(job.nonce) is None]


def _end_all(jobs: Sequence[Job], follower: Follower) -> list[str]:
    """End jobs and name them; raise what kept the first from ending, once all the others have ended."""
    refusals: list[EnvironmentMissing] = []
    for job in jobs:
        try:
            follower.end(job)
        except EnvironmentMissing as refusal:
            refusals.append(refusal)
    if refusals:
        raise refusals[0]
    return [job.job for job in jobs if job.job]


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_fault(error) or EnvironmentMissing(
            "object storage does not answer",
            value=" ".join(str(error).split())[:200],
            hint="try again when it answers: the jobs are still noted",
        ) from None
