"""platforms.yaml is complete: every credential that a platform names is explained."""

from __future__ import annotations

import pytest

from deft.errors import UsageError
from deft.platforms.catalogue import describe_platform, read_catalogue


def test_every_credential_is_explained() -> None:
    catalogue = read_catalogue()
    for platform in catalogue.platforms:
        entries = [*platform.required_credentials, *platform.optional_credentials]
        names = {entry["name"] for entry in entries}
        names.update(name for group in platform.credential_groups for name in group["require_one_of"])
        assert names <= set(catalogue.credentials), platform.name


def test_no_name_or_alias_means_two_platforms() -> None:
    names = [name for platform in read_catalogue().platforms for name in (platform.name, *platform.aliases)]
    assert len(names) == len(set(names))


def test_the_default_is_a_platform() -> None:
    catalogue = read_catalogue()
    assert catalogue.find(catalogue.default).name == "embedded"


def test_a_description_says_how_to_get_a_credential() -> None:
    record = describe_platform(read_catalogue(), "brev")
    (token, *_) = record["optional_credentials"]
    assert token["name"] == "BREV_API_TOKEN"
    assert token["how_to_get"]


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"^unknown platform \(known: embedded = local = cpu, .*\): moon$"):
        read_catalogue().find("moon")
