"""The object storage between this machine and a job: inputs by their content, outputs by the job's name."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from deft import files, streams
from deft.errors import Corruption, EnvironmentMissing, InputRefused
from deft.platforms.credentials import credential
from deft.platforms.tao_sdk.carry import RESULT, STARTED, WITHDRAWN
from deft.workspace.safe_path import safe_path

BLOCK = 1 << 20
LARGEST_COPY = 5 << 30  # a storage copies no larger object, and to rename is to copy
BUCKET, ENDPOINT = "S3_BUCKET_NAME", "S3_ENDPOINT_URL"
Record = dict[str, Any]


class Storage:
    """A bucket, reached with the SDK's own variables: S3_BUCKET_NAME, ACCESS_KEY, SECRET_KEY, …"""

    def __init__(self, folders: Iterable[Path]) -> None:
        """Read the names from the environment or a `.env` of the folders; no bucket is EnvironmentMissing."""
        self.folders = tuple(folders)
        self.bucket = self._value(BUCKET)
        if not self.bucket:
            raise EnvironmentMissing(
                "no bucket is named through which inputs and outputs travel",
                value=BUCKET,
                hint=f"set {BUCKET}, ACCESS_KEY and SECRET_KEY in <workspace>/.env",
            )

    def _value(self, name: str) -> str | None:
        return credential(name, self.folders)

    @cached_property
    def filesystem(self) -> Any:
        """Return the connection; nothing is asked of the server yet."""
        from pyarrow import fs

        endpoint = self._value(ENDPOINT)
        keys = {"access_key": self._value("ACCESS_KEY"), "secret_key": self._value("SECRET_KEY")}
        place = {"endpoint_override": endpoint, "region": self._value("CLOUD_REGION") or "us-east-1"}
        return fs.S3FileSystem(**{name: value for name, value in {**keys, **place}.items() if value})

    def url(self, name: str) -> str:
        """Return what a job calls an object by."""
        return f"s3://{self.bucket}/deft/{name}"

    def _key(self, name: str) -> str:
        return f"{self.bucket}/deft/{name}"

    # --- inputs --------------------------------------------------------------------------------

    def send(self, paths: Iterable[Path]) -> str:
        """Upload files that are not there yet, by content, and return the name of their list."""
        tree = {str(path.absolute()): files.sha256_of_file(path) for path in sorted(set(paths))}
        for path, digest in tree.items():
            size = Path(path).stat().st_size
            if self._blobs.get(digest) != size:
                self._upload(Path(path), digest, size)
                self._blobs[digest] = size
        text = json.dumps(tree, sort_keys=True)
        name = f"trees/{files.sha256_of_bytes(text.encode())}.json"
        self.put_text(name, text)
        return name

    @cached_property
    def _blobs(self) -> dict[str, int]:
        """The sizes of what was sent before, by content: one that broke off is smaller than its file."""
        from pyarrow import fs

        selector = fs.FileSelector(self._key("blobs"), allow_not_found=True)
        return {info.base_name: info.size for info in self.filesystem.get_file_info(selector)}

    def _upload(self, path: Path, digest: str, size: int) -> None:
        """Send a file beside the blobs and give it its name there once all of it is proven to be there."""
        blob = self._key(f"blobs/{digest}")
        place = self._key(f"uploads/{secrets.token_hex(8)}") if size <= LARGEST_COPY else blob
        try:
            if self._copy(path, place) != digest:
                raise _changed(path)
        except BaseException:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                self.filesystem.delete_file(place)
            raise
        if place != blob:
            self.filesystem.move(place, blob)

    def _copy(self, path: Path, place: str) -> str:
        """Send a file and return the hash of what was read: a stream keeps what it has when it breaks off."""
        digest = hashlib.sha256()
        with open(path, "rb") as read, self.filesystem.open_output_stream(place) as written:
            while block := read.read(BLOCK):
                digest.update(block)
                written.write(block)
        return digest.hexdigest()

    def put_text(self, name: str, text: str) -> None:
        """Write a small object."""
        with self.filesystem.open_output_stream(self._key(name)) as stream:
            stream.write(text.encode())

    # --- outputs -------------------------------------------------------------------------------

    def _record(self, name: str) -> Record | None:
        if self.filesystem.get_file_info(self._key(name)).type.name == "NotFound":
            return None
        with self.filesystem.open_input_stream(self._key(name)) as stream:
            record: Record = json.loads(stream.read())
        return record

    def result(self, job: str) -> Record | None:
        """Return what a job wrote last: exit codes and hashes; None while it has not ended."""
        return self._record(f"jobs/{job}/{RESULT}")

    def started(self, job: str) -> str:
        """Return the SDK's name of a job that has begun, else nothing."""
        return str((self._record(f"jobs/{job}/{STARTED}") or {}).get("job", ""))

    def has_begun(self, job: str) -> bool:
        """Say whether a job has said that it began."""
        return bool(self._record(f"jobs/{job}/{STARTED}"))

    def withdraw(self, job: str) -> None:
        """Keep a job that nobody waits for from beginning."""
        self.put_text(f"jobs/{job}/{WITHDRAWN}", "")

    def take(self, job: str, result: Record, folder: Path) -> None:
        """Download a job's outputs into a folder; a file that is not what the job hashed is Corruption."""
        for name, digest in result["files"].items():
            path = safe_path(folder, name)
            with (
                self.filesystem.open_input_stream(self._key(f"jobs/{job}/files/{name}")) as read,
                streams.replacing(path) as written,
            ):
                while block := read.read(BLOCK):
                    written.write(block)
            if files.sha256_of_file(path) != digest:
                path.unlink()
                raise Corruption("output of a job is not what the job wrote", value=name)


def _changed(path: Path) -> InputRefused:
    return InputRefused(
        "input changed while it was sent",
        value=path,
        hint="let nothing write into it, then repeat the command",
    )
