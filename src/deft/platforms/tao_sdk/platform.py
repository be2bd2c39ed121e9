"""Carry out the tool calls of a stage as one job of a place that NVIDIA's SDK reaches."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from deft import files
from deft.errors import DeftError, StageFailed
from deft.platforms.base import Check, Platform, ToolCall
from deft.platforms.containers import (
    IMAGE_SETTINGS,
    container_spec,
    container_words,
    image_of,
    leaves,
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
    PlatformSdk,
    environment_of,
)
from deft.platforms.tao_sdk.jobs import NOTE, Ending, Follower, Job, command
from deft.platforms.tao_sdk.storage import Storage
from deft.progress import Progress
from deft.workspace.layout import RunFolder, Workspace

SUBMISSIONS = 3
LEFT_OUT = ("results",)


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
            here = list(group)
            if place is None:
                EmbeddedPlatform().run(here, progress)
            else:
                self._run_as_job(here, place, progress)

    def end(self, run: RunFolder) -> list[str]:
        """Cancel the jobs of a run that left no result, and take what they bring back."""
        notes = [Job.found(path.parent) for path in sorted(run.root.rglob(NOTE))]
        jobs = [job for job in notes if job is not None and job.job]
        if not jobs:
            return []
        storage = Storage((run.workspace.root,))
        left = [job for job in jobs if storage.result(job.nonce) is None]
        with environment_of(storage.folders):
            follower = Follower(self.backend.connect(), storage, self.settings)
            for job in left:
                follower.end(job)
        return [job.job for job in left]

    def _place(self, call: ToolCall) -> str | None:
        return (
            None if stays_on_host(call, self.settings) else image_of(call.category, self.settings).reference
        )

    # --- one job ---------------------------------------------------------------------------------

    def _run_as_job(self, calls: list[ToolCall], image: str, progress: Progress) -> None:
        for call in calls:
            require_carried(call)
        folder = files.make_folder(_common_folder(calls))
        storage = Storage(calls[0].reads)
        with environment_of(storage.folders), progress.task(calls[0].title or calls[0].name, total=None):
            sdk = self.backend.connect()
            result = self._result(calls, image, folder, storage, sdk)
        job = Job.noted(folder, _signature(calls))
        assert job is not None
        storage.take(job.nonce, result, folder)
        for call, code in zip(calls, result["codes"], strict=False):
            require_passed(call, code)
            complete_metrics(call, progress)

    def _result(
        self, calls: list[ToolCall], image: str, folder: Path, storage: Storage, sdk: PlatformSdk
    ) -> dict[str, Any]:
        """Return the last word of the job that stands for the calls, submitting as often as it takes."""
        signature = _signature(calls)
        job = Job.noted(folder, signature)
        for _ in range(SUBMISSIONS):
            if job is None or not self._is_known(job, storage):
                job = self._submit(calls, image, folder, storage, sdk)
            follower = Follower(sdk, storage, self.settings)
            try:
                ending, record = follower.follow(job)
            except Exception:  # the job goes on, and the next run takes it over
                raise
            except BaseException:  # asked to stop: what was done so far is kept
                follower.end(job)
                raise
            if ending is not Ending.LOST:
                return record
            follower.keep_log(job, calls[-1].log)
            storage.withdraw(job.nonce)
            sdk.cancel_job(job.job)
            job.forget()
            _require_another(calls[0], record)
            job = None
        raise StageFailed(
            f"{calls[0].name} was lost {SUBMISSIONS} times",
            value=calls[-1].log,
            hint="read what the place kept of its output, look at the cluster, then deft run again",
        )

    def _is_known(self, job: Job, storage: Storage) -> bool:
        """Say whether a noted job was really submitted; one that nobody can name must never begin."""
        job.job = job.job or storage.started(job.nonce)
        if job.job or storage.result(job.nonce):
            return True
        storage.withdraw(job.nonce)
        return False

    def _submit(
        self, calls: list[ToolCall], image: str, folder: Path, storage: Storage, sdk: PlatformSdk
    ) -> Job:
        job = Job.new(folder, _signature(calls))
        carried = [(call, container_words(call, _spec_file(call))) for call in calls]
        text = command(job, storage, storage.send(_inputs(calls, folder)), carried)
        gpus = max(call.gpus for call in calls)
        created = sdk.create_job(image, text, gpu_count=gpus, **self.backend.chosen(self.settings))
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


# --- what travels --------------------------------------------------------------------------------


def _common_folder(calls: Sequence[ToolCall]) -> Path:
    """Return the one folder below which all calls write."""
    return Path(os.path.commonpath([str(call.writes.absolute()) for call in calls]))


def _signature(calls: Sequence[ToolCall]) -> str:
    """Return the hash of what is asked: the calls with their paths, and the key of their stage."""
    return files.sha256_of_record(
        [[*call.arguments(), call.identity.key if call.identity else ""] for call in calls]
    )


def _spec_file(call: ToolCall) -> Path:
    return files.write_yaml(call.log.with_suffix(".container.yaml"), container_spec(call))


def _inputs(calls: Sequence[ToolCall], folder: Path) -> Iterator[Path]:
    """Yield every file the calls may read: what specs name, the roots without results, their folder."""
    yield from files.files_below(folder)
    for call in calls:
        spec = container_spec(call)
        yield from _named(spec)
        yield from _listed(spec)
        for root in call.reads:
            yield from _data_below(root)


def _named(spec: Mapping[str, Any]) -> Iterator[Path]:
    for _, value in leaves(spec):
        path = Path(value) if isinstance(value, str) and value.startswith("/") else None
        if path is not None and path.exists():
            yield from [path] if path.is_file() else files.files_below(path)


def _listed(spec: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the images that the table of an embedding lists, wherever they lie."""
    table = spec.get("input_parquet")
    if isinstance(table, str) and Path(table).is_file():
        rows = files.read_parquet(Path(table), required=("filepath",))
        for column in ("filepath", "golden_filepath"):
            yield from (Path(path) for path in rows.get(column, ()) if Path(str(path)).is_file())


def _data_below(root: Path) -> Iterator[Path]:
    for entry in sorted(root.iterdir()):
        if entry.name.startswith(".") or entry.name in LEFT_OUT:
            continue
        yield from [entry] if entry.is_file() else files.files_below(entry)


def _require_another(call: ToolCall, reason: Mapping[str, Any]) -> None:
    """Raise where submitting again cannot help: the place says what is wrong with the job itself."""
    suggestion = str(reason.get("suggestion") or "")
    if reason.get("err_class") == "ERR_INFRA" and suggestion:
        raise StageFailed(f"{call.name} cannot be started there", hint=" ".join(suggestion.split())[:300])
