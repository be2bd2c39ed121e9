"""What differs between the places that NVIDIA's SDK reaches: its class, its words, the reasons it gives."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from deft.errors import EnvironmentMissing
from deft.platforms.credentials import credential

# What the SDK itself reads from the environment; it hands the keys of the storage to every job.
VARIABLES = (
    "S3_BUCKET_NAME",
    "ACCESS_KEY",
    "SECRET_KEY",
    "S3_ENDPOINT_URL",
    "CLOUD_REGION",
    "HF_TOKEN",
    "NGC_KEY",
    "BREV_API_TOKEN",
)


class PlatformSdk(Protocol):
    """The part of NVIDIA's protocol that is used here (nvidia-tao-sdk, platforms/protocol.py)."""

    def create_job(self, image: str, command: str, gpu_count: int = 1, **options: Any) -> Any: ...

    def get_job_status(self, job_id: str) -> Any: ...

    def cancel_job(self, job_id: str) -> bool: ...

    def get_job_logs(self, job_id: str, tail: int | None = None) -> str | None: ...

    def get_failure_analysis(self, job_id: str) -> dict[str, Any] | None: ...


@dataclass(frozen=True)
class Backend:
    """One place: where its class lies, and which of our settings are options of its `create_job`."""

    module: str
    name: str
    options: tuple[str, ...]
    extra: str

    def connect(self) -> PlatformSdk:
        """Return the SDK of this place; EnvironmentMissing where it is not installed or not reachable."""
        try:
            kind = getattr(importlib.import_module(self.module), self.name)
        except ImportError:
            raise EnvironmentMissing(
                "NVIDIA's execution SDK is not installed",
                value=self.module,
                hint=f"pip install 'deft-aoi[tao-sdk]' (nvidia-tao-sdk[{self.extra}])",
            ) from None
        try:
            sdk: PlatformSdk = kind()
        except Exception as error:  # noqa: BLE001 - every SDK has its own errors for the same fact
            raise EnvironmentMissing(
                f"{self.extra} cannot be reached ({str(error).partition(chr(10))[0]})",
                hint="deft doctor --platform names what is missing",
            ) from None
        return sdk

    def chosen(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a submission."""
        return {name: settings[name] for name in self.options if name in settings}


KUBERNETES = Backend(
    "tao_sdk.platforms.kubernetes",
    "KubernetesSDK",
    ("namespace", "image_pull_secret", "node_selector"),
    "kubernetes",
)
BREV = Backend(
    "tao_sdk.platforms.brev",
    "BrevSDK",
    ("instance_id", "gpu_type", "cloud_cred_id", "workspace_group_id"),
    "brev",
)
REMOTE_SLURM = Backend("tao_sdk.platforms.slurm", "SlurmSDK", ("partition", "account"), "slurm")


@contextlib.contextmanager
def environment_of(folders: tuple[Path, ...]) -> Iterator[None]:
    """Set what the SDK reads from the environment for as long as it reads, from the `.env` of the folders."""
    found = {name: credential(name, folders) for name in VARIABLES if name not in os.environ}
    lent = {name: value for name, value in found.items() if value}
    os.environ.update(lent)
    try:
        yield
    finally:
        for name in lent:
            os.environ.pop(name, None)
