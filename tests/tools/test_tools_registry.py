"""Commands are found by name, and imported only when called."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from conformance import REPOSITORY
from deft.errors import EnvironmentMissing
from deft.tools.registry import ACTIONS, Action, actions_of, categories


def test_the_commands_are_those_of_the_containers() -> None:
    assert categories() == ["visual_changenet", "gap_analysis", "embedding", "tmm"]
    assert actions_of("tmm") == ["nearest_neighbors", "unique_neighbor_matching", "default_specs"]


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_every_command_loads(name: tuple[str, str]) -> None:
    action = ACTIONS[name]
    assert callable(action.load_function())
    assert isinstance(action.load_schema(), type)


@pytest.mark.parametrize("place", ["deft.tools.absent:run", "deft.tools.registry:absent"])
def test_a_command_that_is_not_installed_is_refused_with_the_cure(place: str) -> None:
    with pytest.raises(EnvironmentMissing, match="hint: bin/deft"):
        Action(place, place).load_function()


def test_gap_analysis_and_neighbours_never_import_torch() -> None:
    script = (
        "import sys; from deft.tools.registry import ACTIONS\n"
        "for name in (('gap_analysis', 'vcn_aoi'), ('tmm', 'nearest_neighbors')):\n"
        "    ACTIONS[name].load_schema(), ACTIONS[name].load_function()\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
