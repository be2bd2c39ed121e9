from __future__ import annotations

import pytest

from deft.errors import UsageError
from deft.shards.launchers.local import LocalLauncher
from deft.shards.launchers.registry import launcher_named


def test_a_launcher_has_a_name() -> None:
    assert isinstance(launcher_named("local", 2), LocalLauncher)
    with pytest.raises(UsageError, match="no such launcher: moon"):
        launcher_named("moon", None)
