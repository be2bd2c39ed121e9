"""One submission: noted before it is made, outside what its stage may empty, adopted after a kill."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deft import files
from deft.platforms.base import ToolCall
from deft.platforms.tao_sdk import carry
from deft.platforms.tao_sdk.storage import Storage


@dataclass
class Job:
    """A submission by its nonce, which names its folder in the storage, and the SDK's own name of it.

    `place` holds its note, `folder` takes its outputs; `key` stands for the inputs, `signature` for them and
    the calls. `taken` is the attempt that took the outputs, 0 before.
    """

    place: Path
    folder: Path
    signature: str
    key: str
    nonce: str
    job: str = ""
    taken: int = 0

    @classmethod
    def read(cls, path: Path) -> Job:
        """Return the job of a note."""
        record = files.read_json(path)
        folder = Path(os.path.normpath(path.parent / record.pop("folder")))
        return cls(place=path.parent, folder=folder, **record)

    @classmethod
    def new(cls, place: Path, folder: Path, signature: str, key: str) -> Job:
        """Note a job before it is submitted."""
        job = cls(place, folder, signature, key, secrets.token_hex(8))
        job.note()
        return job

    @property
    def path(self) -> Path:
        """The note itself."""
        return self.place / f"{self.signature[:16]}.json"

    def note(self) -> None:
        """Write what a later process needs to find the job again."""
        names = ("signature", "key", "nonce", "job", "taken")
        folder = os.path.relpath(self.folder, self.place)
        files.write_json(self.path, {**{name: getattr(self, name) for name in names}, "folder": folder})

    def forget(self) -> None:
        """Remove the note: nobody is to take this job over."""
        self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other jobs of the stage are noted there
            self.place.rmdir()


def jobs_of(place: Path) -> list[Job]:
    """Return the jobs that are noted in a place."""
    return [Job.read(path) for path in sorted(place.glob("*.json"))]


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
