"""What differs between the places that NVIDIA's SDK reaches."""

from __future__ import annotations

import sys

import pytest

from deft.errors import EnvironmentMissing, UsageError
from deft.platforms.registry import platform_named
from deft.platforms.tao_sdk.backends import KUBERNETES


def test_the_sdk_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tao_sdk", None)
    with pytest.raises(EnvironmentMissing, match="not installed"):
        KUBERNETES.connect()


def test_an_option_of_another_place_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown setting"):
        platform_named("brev", {"namespace": "line4"})
