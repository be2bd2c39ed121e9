"""Carry out the tool calls of a stage as one job of a Slurm cluster, submitted from this machine."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from deft.errors import EnvironmentMissing, StageFailed
from deft.platforms.base import Check, Platform, ToolCall
from deft.platforms.containers import (
    last_status,
    require_carried,
    require_passed,
    stays_on_host,
    tail,
)
from deft.platforms.embedded import EmbeddedPlatform
from deft.platforms.gap_metrics import complete_metrics
from deft.platforms.slurm import cluster
from deft.platforms.slurm.checks import slurm_checks
from deft.platforms.slurm.cluster import ControllerSilent
from deft.platforms.slurm.following import Ending, Follower, Verdict, is_at_work, stop
from deft.platforms.slurm.jobs import (
    Job,
    copy_to_job,
    jobs_of,
    keep_partial_work,
    open_job,
    read_result,
    take_over,
)
from deft.platforms.slurm.progress import OutputWatch
from deft.platforms.slurm.rendering import (
    moved,
    outputs_folder,
    signature_of,
    submission_words,
    write_script,
)
from deft.platforms.slurm.settings import EMBEDDED, KNOWN_SETTINGS, PYXIS, SlurmSettings
from deft.progress import Progress
from deft.workspace.layout import RunFolder

SUBMISSIONS = 3
JOBS = "jobs"
RESUBMITTED = (Ending.LOST, Ending.STOPPED)


class SlurmPlatform(Platform):
    """Submit, follow, take over the verified result; submit a lost job anew, three times at most."""

    name: ClassVar[str] = "slurm"
    known_settings: ClassVar[tuple[str, ...]] = KNOWN_SETTINGS

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        """Take the settings; a value of another form is refused."""
        super().__init__(settings)
        self.chosen = SlurmSettings.from_mapping(self.settings)
        if self.chosen.engine == EMBEDDED:
            self.default_encoder = EmbeddedPlatform.default_encoder  # type: ignore[misc]

    def checks(self, workspace: Path) -> list[Check]:
        """Look at the cluster and at the workspace's file system, without submitting anything."""
        return slurm_checks(workspace, self.chosen, self.settings)

    def run(self, calls: Sequence[ToolCall], progress: Progress) -> None:
        """Carry out the calls in order: neighbours that leave this machine are one job."""
        for on_host, group in groupby(calls, key=lambda call: self._stays(call)):
            if on_host:
                EmbeddedPlatform().run(list(group), progress)
            else:
                self._run_as_job(list(group), progress)

    def end(self, run: RunFolder) -> list[str]:
        """Ask every job of a run that has not ended to write its checkpoint, then cancel it.

        Raises EnvironmentMissing where Slurm does not confirm the end of each.
        """
        jobs = [job for place in sorted((run.runner / JOBS).glob("*")) for job in jobs_of(place)]
        try:
            left = [job for job in jobs if is_at_work(job)]
        except ControllerSilent as error:
            raise _not_ended(run, str(error)) from None
        at_work = [job.name for job in left if not stop(job)]
        for job in jobs:
            job.forget_token()
        if at_work:
            raise _not_ended(run, ", ".join(at_work))
        return [job.name for job in left]

    def _stays(self, call: ToolCall) -> bool:
        return stays_on_host(call, self.settings)

    def _run_as_job(self, calls: list[ToolCall], progress: Progress) -> None:
        if self.chosen.engine == PYXIS:
            for call in calls:
                require_carried(call)
        place, root = _place(calls), outputs_folder(calls)
        _forget_others(place, by_hand=calls[0].identity is None)
        winner = self._result_of(calls, place, root, progress)
        take_over(winner, root)
        for job in jobs_of(place):
            job.forget_token()
            if job != winner:
                cluster.cancel(job.name)
        for call in calls:
            require_passed(call, 0)
            complete_metrics(call, progress)

    def _result_of(self, calls: list[ToolCall], place: Path, root: Path, progress: Progress) -> Job:
        """Return the job whose verified result stands for the calls, submitting as often as it takes."""
        signature = signature_of(calls)
        _end_others(place, signature)
        while True:
            jobs = _of_signature(place, signature)
            if not jobs or jobs[-1].record["given_up"]:
                _require_another(jobs)
                jobs.append(self._prepare(calls, place, root, signature))
            job = jobs[-1]
            try:
                if not job.record["submitted"]:
                    self._submit(job, calls)
                verdict = self._follow(job, jobs[:-1], calls, progress)
            except Exception:
                raise
            except BaseException:  # asked to stop: the checkpoint is written, the job ends, the work is kept
                stop(job)
                keep_partial_work(job, root)
                raise
            if verdict.ending is Ending.DONE:
                return verdict.job
            self._give_up(verdict, calls, root)

    def _prepare(self, calls: list[ToolCall], place: Path, root: Path, signature: str) -> Job:
        identity = calls[0].identity
        whose = (
            f"{identity.run}-{identity.phase}-{identity.stage}-{identity.attempt}"
            if identity
            else f"step-{calls[0].action}"
        )
        job = open_job(place, re.sub(r"[^A-Za-z0-9_.-]", "_", f"deft-{whose}"), signature)
        copy_to_job(root, job)
        write_script(job, [moved(call, root, job) for call in calls], self.chosen, self.settings)
        return job

    def _submit(self, job: Job, calls: list[ToolCall]) -> None:
        """Submit once; where nobody knows whether that worked, following finds the job by its name."""
        job.note(submitted=True)
        number, doubt = cluster.submit(submission_words(job, calls, self.chosen))
        job.note(job=number, doubt=doubt)

    def _follow(self, job: Job, earlier: list[Job], calls: list[ToolCall], progress: Progress) -> Verdict:
        title = calls[0].title or calls[0].name
        with progress.task(f"{title} (Slurm)", total=None) as task:
            show = OutputWatch(job, task).show
            return Follower(job, earlier, self.chosen, show, _numbers_beside(job)).follow()

    def _give_up(self, verdict: Verdict, calls: list[ToolCall], root: Path) -> None:
        """Keep what a job has done; raise unless the job is to be submitted anew."""
        job = verdict.job
        cluster.cancel(job.name)
        job.forget_token()
        if self.chosen.engine == EMBEDDED or read_result(job) is not None:
            keep_partial_work(job, root)
        job.note(given_up=True, counts=verdict.ending is not Ending.STOPPED)
        if verdict.ending is Ending.FAILED:
            result = read_result(job)
            require_passed(_failing(calls), result.codes[-1] if result else 1)
        if verdict.ending not in RESUBMITTED:
            raise StageFailed(
                f"job {job.name} of Slurm: {verdict.ending.value} ({verdict.detail})"
                + "".join(f"\n  {line}" for line in tail(job.output)),
                hint=CURES[verdict.ending].format(output=job.output),
            )


CURES = {
    Ending.CANCELLED: "deft run goes on where the stage began, once you know who cancelled the job and why",
    Ending.TIME: "deft run goes on from its checkpoint, or raise time_limit and plan anew",
    Ending.MEMORY: "raise memory in section slurm of specs/platforms.yaml and plan anew",
    Ending.NEVER: "correct section slurm of specs/platforms.yaml (scontrol show partition) and plan anew",
    Ending.UNSEEN: "put the workspace on a file system that the nodes share and may write to; read {output}",
    Ending.FAILED: "read {output}",
}


def _not_ended(run: RunFolder, value: str) -> EnvironmentMissing:
    again = f"deft stop {shlex.quote(str(run.root))}"
    return EnvironmentMissing(
        "Slurm does not confirm that the run's jobs have ended",
        value=value,
        hint=f"wait until the controller answers (scontrol ping), then: {again}",
    )


def _require_another(jobs: Sequence[Job]) -> None:
    lost = [job for job in jobs if job.record["counts"]]
    if len(lost) >= SUBMISSIONS:
        doubt = lost[-1].record["doubt"]
        raise StageFailed(
            f"{len(lost)} jobs of Slurm were lost without a result, the last one {lost[-1].name}"
            + (f" ({doubt})" if doubt else ""),
            hint=f"read {lost[-1].output} and what Slurm says of its nodes (sinfo -R), then deft run",
        )


def _failing(calls: Sequence[ToolCall]) -> ToolCall:
    return next((call for call in calls if last_status(call.log) != "PASS"), calls[-1])


# --- where submissions are noted -------------------------------------------------------------


def _place(calls: Sequence[ToolCall]) -> Path:
    """Return the folder of a stage attempt's submissions: outside what the stage may empty."""
    root, identity = outputs_folder(calls), calls[0].identity
    if identity is None:
        return root.parent / f".{root.name}.jobs"
    run = next(RunFolder(folder) for folder in root.parents if folder.name == identity.run)
    return run.runner / JOBS / f"{identity.phase}-{identity.stage}-{identity.attempt}"


def _of_signature(place: Path, signature: str) -> list[Job]:
    return [job for job in jobs_of(place) if job.record["signature"] == signature]


def _end_others(place: Path, signature: str) -> None:
    """End what was begun for other inputs."""
    for job in jobs_of(place):
        open_still = job.record["signature"] != signature and not job.record["given_up"]
        if open_still and cluster.cancel(job.name):
            job.note(given_up=True)


def _numbers_beside(job: Job) -> frozenset[str]:
    """Return the numbers that Slurm gave to the run's other jobs."""
    places = job.folder.parent.parent.glob("*")
    others = [other for place in places for other in jobs_of(place) if other != job]
    return frozenset(str(other.record["job"]) for other in others)


def _forget_others(place: Path, *, by_hand: bool) -> None:
    """Free what finished stages and given up attempts have left, each job ended before its folder goes.

    A step by hand begins anew: nothing tells its inputs apart.
    """
    if by_hand:
        for job in jobs_of(place):
            cluster.cancel(job.name)
        shutil.rmtree(place, ignore_errors=True)
        return
    for other in place.parent.glob("*"):
        for job in jobs_of(other) if other != place else []:
            if job.work.is_dir() and cluster.cancel(job.name):
                job.forget_token()
                shutil.rmtree(job.work, ignore_errors=True)
