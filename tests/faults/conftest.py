"""The suite that breaks things: every test here is marked `fault`, and may state a figure.

Figures are gathered by tests/figures.py and printed as one table at the end of the test run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_server import Warm, fast_folder, warm_process

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.fault)


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """The process that has recorded a whole run and can break it anywhere."""
    with warm_process(fast_folder("deft-faults")) as process:
        yield process
