"""What a run will cost on disk grows with what is asked for; no minutes are made up."""

from __future__ import annotations

import pytest

from deft.preflight.estimate import CHECKPOINT_BYTES, EMBEDDING_BYTES_A_ROW, estimate
from deft.preflight.inspect import inspect_workspace
from tiny_workspace import make_workspace


@pytest.fixture(scope="module")
def inspection(tmp_path_factory):
    return inspect_workspace(make_workspace(tmp_path_factory.mktemp("estimate") / "workspace"))


def settings(iterations: int = 2, epochs: int = 5):
    values = {"max_iterations": iterations, "num_epochs": epochs}
    return {name: {"value": value, "source": "user"} for name, value in values.items()}


def test_every_epoch_leaves_a_checkpoint_and_every_iteration_the_pools_embeddings(inspection):
    pool = 54 + 6
    assert estimate(inspection, settings()) == {
        "disk_bytes": 3 * 5 * CHECKPOINT_BYTES + 2 * pool * EMBEDDING_BYTES_A_ROW
    }


@pytest.mark.parametrize("more", [{"iterations": 3}, {"epochs": 6}])
def test_more_work_costs_more_disk(inspection, more):
    less, greater = (estimate(inspection, settings(**given)) for given in ({}, more))
    assert greater["disk_bytes"] > less["disk_bytes"]
