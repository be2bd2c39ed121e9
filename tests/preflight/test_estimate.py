"""What a run will cost on disk grows with what is asked for; no minutes are made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deft.preflight.estimate import (
    EMBEDDING_BYTES_A_ROW,
    OWN_NETWORK_BYTES,
    checkpoint_bytes,
    estimate,
    room_check,
)
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
        "checkpoints": 15,
        "disk_bytes": 15 * OWN_NETWORK_BYTES + 2 * pool * EMBEDDING_BYTES_A_ROW,
    }


@pytest.mark.parametrize("more", [{"iterations": 3}, {"epochs": 6}])
def test_more_work_costs_more_disk(inspection, more):
    less, greater = (estimate(inspection, settings(**given)) for given in ({}, more))
    assert greater["disk_bytes"] > less["disk_bytes"]


@pytest.mark.parametrize(("interval", "kept"), [(1, 15), (2, 6), (5, 3), (50, 3), (None, 15), ("often", 15)])
def test_a_longer_interval_keeps_fewer_checkpoints(inspection, interval, kept):
    train = {**inspection.spec["train"], "checkpoint_interval": interval}
    given = replace(inspection, spec={**inspection.spec, "train": train})
    assert estimate(given, settings())["checkpoints"] == kept


def spec_with(kind: str, **more):
    return {"model": {"backbone": {"type": kind, **more}}}


def test_a_backbone_costs_its_weights_and_what_trains_them():
    measured = 184_016_777  # a frozen vit_small_dinov2 with four learnable difference modules
    assert checkpoint_bytes(spec_with("vit_small_dinov2", freeze_backbone=True)) == pytest.approx(
        measured, rel=0.02
    )
    trained = checkpoint_bytes(spec_with("c_radio_v2_vit_base_patch16_224"))
    assert trained == pytest.approx(12 * 98_234_880 + 96_000_000, rel=0.01)


def test_a_backbone_that_is_not_known_is_not_guessed(inspection):
    assert checkpoint_bytes({}) is None
    spec = {**inspection.spec, **spec_with("fan_small_12_p4_hybrid")}
    assert estimate(replace(inspection, spec=spec), settings()) == {"checkpoints": 15}
    assert room_check({"checkpoints": 15}, inspection.workspace.root) == []


def test_a_disk_that_cannot_hold_the_run_is_told_before_anybody_approves(tmp_path):
    (enough,) = room_check({"checkpoints": 1, "disk_bytes": 1}, tmp_path)
    (lacking,) = room_check({"checkpoints": 1, "disk_bytes": 10**18}, tmp_path)
    assert (enough.passed, lacking.passed) == (True, False)
    assert "checkpoint_interval" in lacking.cure
