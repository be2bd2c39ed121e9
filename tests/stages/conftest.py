"""What the finished run of all tests says of itself."""

from __future__ import annotations

import pytest


@pytest.fixture
def state(finished):
    from deft import files

    return files.read_json(finished.state)
