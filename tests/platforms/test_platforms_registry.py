"""Platforms are found by name."""

from __future__ import annotations

import pytest

from deft.errors import UsageError
from deft.platforms.catalogue import read_catalogue
from deft.platforms.registry import canonical_name, platform_named


def test_the_embedded_platform_is_found():
    assert platform_named("embedded").name == "embedded"


def test_the_docker_platform_takes_its_settings_and_refuses_others():
    assert platform_named("docker", {"shm_size": "16g"}).settings == {"shm_size": "16g"}
    with pytest.raises(UsageError, match="unknown setting of platform docker: shmsize"):
        platform_named("docker", {"shmsize": "16g"})
    with pytest.raises(UsageError, match="setting shm_size of platform docker does not parse: much"):
        platform_named("docker", {"shm_size": "much"})


def test_an_unknown_platform_is_refused_with_the_known_ones_and_exit_code_2():
    with pytest.raises(UsageError, match=r"unknown platform \(known: .*docker.*: toaster") as refusal:
        platform_named("toaster")
    assert refusal.value.exit_code == 2


def test_every_name_and_alias_of_the_catalogue_is_a_platform_that_carries_out_calls():
    for entry in read_catalogue().platforms:
        for name in (entry.name, entry.name.upper(), *entry.aliases):
            assert canonical_name(name) == platform_named(name).name == entry.name
