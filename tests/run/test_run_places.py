"""Where recorded paths are now, after a run was copied or moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft.run.places import Places
from deft.workspace.layout import RunFolder

PLAN = {"workspace": "/line 4", "run_id": "run_20260102_030405"}
RUN = "/archive/results/run_20260102_030405"


@pytest.mark.parametrize(
    ("recorded", "found"),
    [
        ("/line 4/results/run_20260102_030405/baseline/train/a.pth", f"{RUN}/baseline/train/a.pth"),
        ("/line 4/kpi/images/b/U1.png", "/archive/kpi/images/b/U1.png"),
        ("/models/start.pth", "/models/start.pth"),
        ("/line 44/kpi/x.png", "/line 44/kpi/x.png"),
    ],
)
def test_a_recorded_path_is_found_beside_the_copy(recorded, found):
    assert Places.of(RunFolder(Path(RUN)), PLAN).found(recorded) == Path(found)


def test_a_path_of_the_copy_has_the_name_under_which_it_was_recorded():
    places = Places.of(RunFolder(Path(RUN)), PLAN)
    assert places.recorded(Path(RUN) / "handoff") == "/line 4/results/run_20260102_030405/handoff"
