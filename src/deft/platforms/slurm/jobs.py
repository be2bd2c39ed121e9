"""Every submission has a folder of its own, named by its nonce, in which alone its job writes.

So a job that still runs after Slurm gave it up writes beside the accepted result, never into it. The record
is on disk before the job is submitted; a job has succeeded when the file `<nonce>.ok` in its folder names
every result by its hash and the hashes hold, whatever Slurm says of it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deft import files
from deft.errors import DeftError
from deft.platforms.slurm.script import FOOTER, HEADER

RECORD, TOKEN = "job.json", "hub-token"
HASH = re.compile(r"([0-9a-f]{64})  (\./.*)")
SIGNALLED = (130, 137, 143)


@dataclass(frozen=True)
class Job:
    """One submission by its folder."""

    folder: Path

    @property
    def nonce(self) -> str:
        return self.folder.name

    @property
    def work(self) -> Path:
        """The copy of the outputs' folder that the job fills."""
        return self.folder / "work"

    @property
    def script(self) -> Path:
        return self.folder / "job.sh"

    @property
    def output(self) -> Path:
        return self.folder / "output.log"

    @property
    def was_started(self) -> bool:
        """Say whether a node has begun: the script's first act."""
        return (self.folder / "started").is_dir()

    @property
    def record(self) -> dict[str, Any]:
        """Return what was noted of the submission."""
        found: dict[str, Any] = files.read_json(self.folder / RECORD)
        return found

    @property
    def name(self) -> str:
        """Return the name that Slurm knows the job by."""
        return str(self.record["name"])

    @property
    def asked_to_stop(self) -> bool:
        """Say whether this program ended the job itself."""
        return bool(self.record["asked_to_stop"])

    @property
    def may_be_at_work(self) -> bool:
        """Say whether it was submitted, and neither given up nor seen to end; Slurm alone knows the rest."""
        record = self.record
        return bool(record["submitted"] and not record["given_up"]) and read_result(self) is None

    def lend_token(self, value: str) -> Path:
        """Write a token for the job into a file that its owner alone can read; return the file."""
        return files.write_text(self.folder / TOKEN, value, mode=0o600)

    def forget_token(self) -> None:
        """Remove the token once the job has ended."""
        (self.folder / TOKEN).unlink(missing_ok=True)

    def note(self, **changes: object) -> None:
        """Change the record."""
        files.write_json(self.folder / RECORD, {**self.record, **changes})


@dataclass(frozen=True)
class Result:
    """What a job said last: the exit codes of its commands, and its files by hash."""

    codes: tuple[int, ...]
    hashes: dict[str, str]

    @property
    def passed(self) -> bool:
        """Say whether every command ended well."""
        return bool(self.codes) and not any(self.codes)

    @property
    def signalled(self) -> bool:
        """Say whether the last command ended because it was asked to."""
        return bool(self.codes) and self.codes[-1] in SIGNALLED


def open_job(place: Path, prefix: str, signature: str) -> Job:
    """Make the folder and the record of a submission that is not made yet."""
    nonce = secrets.token_hex(6)
    number = len(jobs_of(place)) + 1
    folder = files.make_folder(place) / nonce
    folder.mkdir(mode=0o700)
    record = {
        "number": number,
        "name": f"{prefix}-{nonce}",
        "signature": signature,
        "job": None,
        "doubt": "",
        "submitted": False,
        "given_up": False,
        "asked_to_stop": False,
        "counts": True,
    }
    files.write_json(folder / RECORD, record)
    return Job(folder)


def jobs_of(place: Path) -> list[Job]:
    """Return every submission in a place, oldest first; a folder without a record was never submitted."""
    found = [Job(path.parent) for path in place.glob(f"*/{RECORD}")]
    return sorted(found, key=lambda job: (int(job.record["number"]), job.nonce))


# --- the result file -------------------------------------------------------------------------


def read_result(job: Job) -> Result | None:
    """Return what the job said last; None where it has not, or where a file is not what it says.

    The files of a job that failed are not looked at.
    """
    try:
        lines = files.read_text(job.folder / f"{job.nonce}.ok").splitlines()
    except (DeftError, OSError):
        return None
    result = _parse(job, lines)
    if result is None or (result.passed and not _holds(job, result)):
        return None
    return result


def _parse(job: Job, lines: Sequence[str]) -> Result | None:
    if len(lines) < 4 or lines[0] != HEADER or lines[1] != f"nonce {job.nonce}" or lines[-1] != FOOTER:
        return None
    kind, *codes = lines[2].split()
    entries = [HASH.fullmatch(line) for line in lines[3:-1]]
    if kind != "codes" or not all(code.isdigit() for code in codes) or not all(entries):
        return None
    hashes = {entry[2].removeprefix("./"): entry[1] for entry in entries if entry}
    return Result(tuple(map(int, codes)), hashes)


def _holds(job: Job, result: Result) -> bool:
    return all(
        (job.work / name).is_file() and files.sha256_of_file(job.work / name) == digest
        for name, digest in result.hashes.items()
    )


# --- the folder that the calls write to ------------------------------------------------------


def copy_to_job(root: Path, job: Job) -> None:
    """Give a job its own copy of what stands in the outputs' folder: specs, and a training to continue."""
    if root.is_dir():
        shutil.copytree(root, job.work, symlinks=True)
    else:
        job.work.mkdir()


def take_over(job: Job, root: Path) -> None:
    """Put the job's files in the place of the outputs' folder, in one step; the job's copy stays whole.

    Files are shared between both names: the job has ended, so nobody writes to them again.
    """
    _replace(root, job, copy=_link)


def keep_partial_work(job: Job, root: Path) -> None:
    """Put a copy of what the job has done so far in the place of the outputs' folder.

    The job may still write: a file that is gone or changing is left to the next attempt.
    """
    try:
        _replace(root, job, copy=shutil.copy2)
    except (OSError, shutil.Error):
        shutil.rmtree(_taken(job), ignore_errors=True)


def _replace(root: Path, job: Job, copy: Any) -> None:
    taken, retired = _taken(job), job.folder / "replaced"
    for left in (taken, retired):
        shutil.rmtree(left, ignore_errors=True)
    ignored = shutil.ignore_patterns(".*.tmp")
    shutil.copytree(job.work, taken, symlinks=True, ignore=ignored, copy_function=copy)
    if root.exists():
        root.rename(retired)
    files.make_folder(root.parent)
    taken.rename(root)
    files.sync_folder(root.parent)
    shutil.rmtree(retired, ignore_errors=True)


def _taken(job: Job) -> Path:
    return job.folder / "taken"


def _link(source: str, target: str) -> None:
    """Give a file a second name; where the file system has none, copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
