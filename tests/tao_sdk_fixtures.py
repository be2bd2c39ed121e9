"""A storage in a folder and an SDK whose jobs run when they are created, for the tests of the platform."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deft import files
from deft.platforms.base import CallIdentity, ToolCall
from deft.platforms.registry import platform_named
from deft.platforms.tao_sdk import carry, platform
from deft.platforms.tao_sdk.backends import KUBERNETES
from deft.platforms.tao_sdk.storage import Storage
from deft.progress import NullProgress
from deft.workspace.layout import RunFolder

DIGEST = f"registry/image@sha256:{'0' * 64}"
STATUSES = {
    "lost": "Unknown",
    "waits": "Running",
    **dict.fromkeys(("image", "queues", "vanishes", "never arrives"), "Pending"),
}
TOOL = """#!/bin/sh
out=$(sed -n 's/^ *results_dir: //p' "$3")
echo "seen: $(cat "$(sed -n 's/^ *checkpoint: //p' "$3")")"
echo weights > "$out/model.pth"
echo "Execution status: ${STATUS:-PASS}"
exit ${CODE:-0}
"""


class FolderStorage(Storage):
    """The storage in a folder instead of a bucket."""

    root: Path

    @cached_property
    def filesystem(self) -> Any:
        from pyarrow import fs

        return fs.SubTreeFileSystem(str(self.root), fs.LocalFileSystem(use_mmap=False))

    def url(self, name: str) -> str:
        return f"file://{self.root}/{self.bucket}/deft/{name}"

    def put_text(self, name: str, text: str) -> None:
        (self.root / self._key(name)).parent.mkdir(parents=True, exist_ok=True)
        super().put_text(name, text)

    def _upload(self, path: Path, digest: str, size: int) -> None:
        for name in ("blobs", "uploads"):
            (self.root / self._key(name)).mkdir(parents=True, exist_ok=True)
        super()._upload(path, digest, size)


@dataclass
class Sdk:
    """NVIDIA's protocol, with jobs that run when they are created, and what goes wrong with each of them."""

    faults: list[str] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    canceled: list[str] = field(default_factory=list)
    statuses: dict[str, str] = field(default_factory=dict)
    unpullable: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    before_end: Callable[[str], None] = lambda job: None

    def create_job(self, image: str, command: str, gpu_count: int = 1, **options: Any) -> Any:
        job = f"job-{len(self.created)}"
        self.created.append({"image": image, "command": command, "gpus": gpu_count, **options})
        fault = self.faults.pop(0) if self.faults else ""
        self.statuses[job] = STATUSES.get(fault, "Complete")
        if fault == "image":
            self.unpullable.add(job)
        if fault == "never arrives":
            self.absent.add(job)
        if not fault or fault.isdigit():
            self.carry_out(job, fault)
        if fault.startswith(("begins", "vanishes")):
            files.write_json(folder_of(command) / carry.STARTED, {"job": job})
        if "stopped" in fault:
            raise KeyboardInterrupt
        if "killed" in fault:
            raise OSError("the runner dies here")
        return SimpleNamespace(id=job)

    def carry_out(self, job: str, code: str = "") -> None:
        """Let a job begin, under the name that the place gives it; its tool may end with a code."""
        failure = {"CODE": code, "STATUS": "FAIL"} if code else {}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {"TAO_JOB_ID": job, **failure}.items():
                patch.setenv(name, value)
            carry.main(order_of(self.created[int(job.removeprefix("job-"))]["command"]))
        self.lose_disk(self.created[int(job.removeprefix("job-"))]["command"])

    def lose_disk(self, command: str) -> None:
        """Take away what a job wrote: nothing but the storage is left of a pod."""
        output = Path(order_of(command)["output"])
        for name in files.read_json(folder_of(command) / carry.RESULT)["files"]:
            (output / name).unlink()

    def get_job_status(self, job_id: str) -> Any:
        self.before_end(job_id)
        message = "" if job_id in self.absent else "waits for its turn"
        return SimpleNamespace(status=self.statuses[job_id], message=message)

    def get_job_logs(self, job_id: str, tail: int | None = None) -> str:
        return f"{job_id}: out of memory"

    def cancel_job(self, job_id: str) -> bool:
        self.canceled.append(job_id)
        if job_id not in self.deaf:
            self.statuses[job_id] = "Canceled"
        return job_id not in self.deaf

    def get_failure_analysis(self, job_id: str) -> dict[str, Any] | None:
        stuck = {"err_class": "ERR_INFRA", "suggestion": "Image pull failed."}
        return stuck if job_id in self.unpullable else None


def order_of(command: str) -> dict[str, Any]:
    return dict(json.loads(shlex.split(command.splitlines()[-1])[-1]))


def folder_of(command: str) -> Path:
    """Return a job's folder in the storage."""
    return Path(order_of(command)["job"].removeprefix("file://"))


def is_withdrawn(command: str) -> bool:
    return (folder_of(command) / carry.WITHDRAWN).exists()


def run_of(call: ToolCall) -> RunFolder:
    return RunFolder(call.writes.parents[1])


def notes(call: ToolCall) -> list[Path]:
    """Return the notes of a run's jobs."""
    return sorted((run_of(call).runner / "jobs").rglob("*.json"))


def of_attempt(call: ToolCall, attempt: int) -> ToolCall:
    """Return a call as a later attempt makes it that goes on in the same folder."""
    assert call.identity is not None
    return replace(call, identity=replace(call.identity, attempt=attempt))


def in_folder(call: ToolCall, name: str) -> ToolCall:
    """Return a call as a later attempt makes it in a folder of its own; the earlier one is removed."""
    folder = call.writes.with_name(name)
    shutil.rmtree(call.writes)
    spec = files.write_yaml(folder / "train_spec.yaml", {"task": "classify"})
    places = {"spec": spec, "writes": folder, "log": folder / "train.log"}
    return replace(call, overrides={**call.overrides, "results_dir": folder}, **places)


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sdk:
    sdk = Sdk()
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "visual_changenet").write_text(TOOL)
    (programs / "visual_changenet").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("S3_BUCKET_NAME", "bucket")
    FolderStorage.root = tmp_path / "storage"
    FolderStorage.root.mkdir()
    monkeypatch.setattr(platform, "Storage", FolderStorage)
    monkeypatch.setattr(type(KUBERNETES), "connect", lambda backend: sdk)
    return sdk


@pytest.fixture
def call(tmp_path: Path) -> ToolCall:
    root = tmp_path / "workspace"
    folder = root / "results" / "run_1" / "iter1" / "train.attempt-1"
    files.write_text(root / "train" / "base.csv", "rows")
    start = files.write_text(root / "results" / "run_1" / "iter0.pth", "incumbent")
    files.write_text(root / ".env", "ACCESS_KEY=canary-of-the-storage\n")
    spec = files.write_yaml(folder / "train_spec.yaml", {"task": "classify"})
    return ToolCall(
        category="visual_changenet",
        action="train",
        spec=spec,
        overrides={"results_dir": folder, "checkpoint": start},
        reads=(root,),
        writes=folder,
        log=folder / "train.log",
        identity=CallIdentity("run_1", "iter1", "train", 1, "key"),
    )


def carried(call: ToolCall, **settings: Any) -> None:
    chosen = {"train_image": DIGEST, "poll_seconds": 0, "lost_seconds": -1, "grace_seconds": 0, **settings}
    platform_named("kubernetes", chosen).run([call], NullProgress())
