"""The platforms by name: the one table that plans, pre-flight and the command line ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deft.errors import EnvironmentMissing
from deft.platforms.base import Platform
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


def platform_named(name: str, settings: Mapping[str, Any] | None = None) -> Platform:
    """Return the platform of that name with the user's settings of it; an unknown one is refused."""
    if name not in PLATFORMS:
        known = ", ".join(sorted(PLATFORMS))
        raise EnvironmentMissing(
            f"platform cannot be used (this version runs on: {known})",
            value=name,
            hint="deft preflight WORKSPACE --platform embedded",
        )
    return PLATFORMS[name](settings)
