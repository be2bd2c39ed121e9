"""Platforms are found by name."""

from __future__ import annotations

import pytest

from deft.errors import EnvironmentMissing
from deft.platforms.registry import platform_named


def test_the_embedded_platform_is_found():
    assert platform_named("embedded").name == "embedded"


def test_an_unknown_platform_is_refused_with_the_known_ones_and_exit_code_5():
    with pytest.raises(EnvironmentMissing, match="runs on: embedded") as refusal:
        platform_named("toaster")
    assert refusal.value.exit_code == 5
