from __future__ import annotations

import subprocess
import sys

import numpy as np

from deft.embedding.allocation import return_large_arrays
from deft.embedding.neighbours import NeighbourSearch
from shard_fixtures import SOURCE

FREED = """
import numpy as np
from deft.embedding.allocation import return_large_arrays
assert return_large_arrays()
resident = lambda: int(next(l.split()[1] for l in open("/proc/self/status") if l.startswith("VmRSS"))) >> 10
for _ in range(3):  # what was once freed is otherwise kept for the next of its size
    arrays = [np.ones(2**20) for _ in range(8)]
    last = np.ones(2**10)
    before = resident()
    del arrays
print(before - resident())
"""


def test_a_large_array_goes_back_to_the_system_at_once() -> None:
    command = [sys.executable, "-c", FREED]
    said = subprocess.run(
        command, env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True
    )
    assert int(said.stdout) >= 60


def test_a_search_asks_for_it() -> None:
    return_large_arrays.cache_clear()
    NeighbourSearch(np.ones((1, 2)), 1)
    assert return_large_arrays.cache_info().currsize == 1
