"""Fixtures that several tests of platforms ask for by name."""

from tao_sdk_fixtures import call, sdk

__all__ = ["call", "sdk"]
