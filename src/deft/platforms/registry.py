"""The platforms by name: the one table that plans, pre-flight and the command line ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deft.platforms.base import Platform
from deft.platforms.catalogue import read_catalogue
from deft.platforms.docker import DockerPlatform
from deft.platforms.embedded import EmbeddedPlatform
from deft.platforms.slurm.platform import SlurmPlatform
from deft.platforms.tao_sdk.platform import BrevPlatform, KubernetesPlatform, RemoteSlurmPlatform

PLATFORMS: dict[str, type[Platform]] = {
    platform.name: platform
    for platform in (
        EmbeddedPlatform,
        DockerPlatform,
        SlurmPlatform,
        KubernetesPlatform,
        BrevPlatform,
        RemoteSlurmPlatform,
    )
}


def canonical_name(name: str) -> str:
    """Return the name of a platform that is given by name or alias; raises UsageError for an unknown one."""
    return read_catalogue().find(name).name


def platform_named(name: str, settings: Mapping[str, Any] | None = None) -> Platform:
    """Return the platform of that name or alias with the user's settings; an unknown one is refused."""
    return PLATFORMS[canonical_name(name)](settings)
