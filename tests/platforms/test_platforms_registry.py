"""Platforms are found by name."""

from __future__ import annotations

import pytest

from deft.errors import EnvironmentMissing, UsageError
from deft.platforms.registry import platform_named


def test_the_embedded_platform_is_found():
    assert platform_named("embedded").name == "embedded"


def test_the_docker_platform_takes_its_settings_and_refuses_others():
    assert platform_named("docker", {"shm_size": "16g"}).settings == {"shm_size": "16g"}
    with pytest.raises(UsageError, match="unknown setting of platform docker: shmsize"):
        platform_named("docker", {"shmsize": "16g"})
    with pytest.raises(UsageError, match="setting shm_size of platform docker does not parse: much"):
        platform_named("docker", {"shm_size": "much"})


def test_an_unknown_platform_is_refused_with_the_known_ones_and_exit_code_5():
    with pytest.raises(EnvironmentMissing, match=r"runs on: .*docker, embedded") as refusal:
        platform_named("toaster")
    assert refusal.value.exit_code == 5
