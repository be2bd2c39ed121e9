"""What a run will cost: grows with what is asked for, and is not made up where the speed is unknown."""

from __future__ import annotations

import pytest

from deft.preflight.estimate import CHECKPOINT_BYTES, EMBEDDING_BYTES_A_ROW, STAGE_SECONDS, estimate
from deft.preflight.inspect import inspect_workspace
from stub_platform import StubPlatform
from tiny_workspace import make_workspace


class Timed(StubPlatform):
    def __init__(self, pairs_a_second: float) -> None:
        super().__init__()
        self._speed = pairs_a_second

    def pairs_a_second(self) -> float:
        return self._speed


@pytest.fixture(scope="module")
def inspection(tmp_path_factory):
    return inspect_workspace(make_workspace(tmp_path_factory.mktemp("estimate") / "workspace"))


def settings(iterations: int = 2, epochs: int = 5, batch: int = 8):
    values = {"max_iterations": iterations, "num_epochs": epochs, "batch_size": batch}
    return {name: {"value": value, "source": "user"} for name, value in values.items()}


def test_a_platform_of_unknown_speed_gets_no_time_but_its_disk(inspection):
    found = estimate(inspection, settings(), StubPlatform())
    pool = 54 + 6
    assert found == {
        "seconds": None,
        "disk_bytes": 3 * 5 * CHECKPOINT_BYTES + 2 * pool * EMBEDDING_BYTES_A_ROW,
    }


def test_time_is_what_trainings_scorings_and_embeddings_need_at_this_speed(inspection):
    found = estimate(inspection, settings(iterations=1, epochs=5, batch=8), Timed(100.0))
    steps = 5 * 20  # the spec's or twenty an epoch
    trained = 3 * steps * 8 + 2 * 5 * 29
    scored = 2 * 4 * (29 + 45 + 29)
    expected = 2 * ((trained + scored) / 100 + 7 * STAGE_SECONDS) + 60 / 100
    assert found["seconds"] == round(expected)


@pytest.mark.parametrize("more", [{"iterations": 3}, {"epochs": 6}])
def test_more_work_costs_more_time_and_more_disk(inspection, more):
    less, greater = (estimate(inspection, settings(**given), Timed(10.0)) for given in ({}, more))
    assert greater["seconds"] > less["seconds"]
    assert greater["disk_bytes"] > less["disk_bytes"]


def test_a_machine_twice_as_fast_needs_less_time_and_the_same_disk(inspection):
    slow, fast = (estimate(inspection, settings(), Timed(speed)) for speed in (5.0, 10.0))
    fixed = 3 * 7 * STAGE_SECONDS
    assert fast["seconds"] - fixed == pytest.approx((slow["seconds"] - fixed) / 2, abs=1)
    assert fast["disk_bytes"] == slow["disk_bytes"]


def test_the_specs_steps_an_epoch_are_counted(inspection):
    few = estimate(inspection, settings(), Timed(10.0))["seconds"]
    embedded = {"threads": 1, "steps_per_epoch": 40}
    spec = {**inspection.spec, "train": {**inspection.spec["train"], "embedded": embedded}}
    from dataclasses import replace

    many = estimate(replace(inspection, spec=spec), settings(), Timed(10.0))["seconds"]
    assert many - few == pytest.approx(3 * 3 * 5 * 20 * 8 / 10, abs=1)
