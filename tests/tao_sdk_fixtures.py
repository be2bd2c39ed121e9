"""A storage in a folder and an SDK whose jobs run when they are created, for the tests of the platform."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
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

DIGEST = f"registry/image@sha256:{'0' * 64}"
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

    def _upload(self, path: Path, name: str) -> None:
        (self.root / self._key(name)).parent.mkdir(parents=True, exist_ok=True)
        super()._upload(path, name)


@dataclass
class Sdk:
    """NVIDIA's protocol, with jobs that run when they are created, and what goes wrong with each of them."""

    faults: list[str] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    canceled: list[str] = field(default_factory=list)
    statuses: dict[str, str] = field(default_factory=dict)
    before_end: Callable[[str], None] = lambda job: None

    def create_job(self, image: str, command: str, gpu_count: int = 1, **options: Any) -> Any:
        job = f"job-{len(self.created)}"
        self.created.append({"image": image, "command": command, "gpus": gpu_count, **options})
        fault = self.faults.pop(0) if self.faults else ""
        self.statuses[job] = {"lost": "Unknown", "image": "Pending", "waits": "Running"}.get(
            fault, "Complete"
        )
        if not fault:
            os.environ["TAO_JOB_ID"] = job
            carry.main(order_of(command))
            del os.environ["TAO_JOB_ID"]
        if fault == "killed":
            raise KeyboardInterrupt
        return SimpleNamespace(id=job)

    def get_job_status(self, job_id: str) -> Any:
        self.before_end(job_id)
        return SimpleNamespace(status=self.statuses[job_id])

    def get_job_logs(self, job_id: str, tail: int | None = None) -> str:
        return f"{job_id}: out of memory"

    def cancel_job(self, job_id: str) -> bool:
        self.canceled.append(job_id)
        return True

    def get_failure_analysis(self, job_id: str) -> dict[str, Any] | None:
        pulled = self.statuses.get(job_id) != "Pending"
        return None if pulled else {"err_class": "ERR_INFRA", "suggestion": "Image pull failed."}


def order_of(command: str) -> dict[str, Any]:
    return dict(json.loads(shlex.split(command.splitlines()[-1])[-1]))


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
