"""Root cause analysis: ten pictures beside their goldens, of the incumbent's weakest."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from deft import files
from deft.errors import StateConflict
from deft.loop import run_loop
from deft.run.log import read
from deft.stages.base import StageContext
from deft.stages.rca import Rca, spot_check_rows
from loop_fixtures import SILENT, new_run


def test_five_of_each_side_are_shown_weakest_first():
    gaps = pd.DataFrame(
        {
            "label": ["PASS"] * 7 + ["bridge"] * 7,
            "weakness": [*range(7), *range(7)],
            "component_id": range(14),
        }
    )
    rows = spot_check_rows(gaps)
    assert rows["weakness"].tolist() == [6, 5, 4, 3, 2] * 2
    assert rows["label"].tolist() == ["PASS"] * 5 + ["bridge"] * 5


def test_each_sample_is_one_picture_of_part_and_golden(state):
    folder = Path(state["iterations"]["baseline"]["rca_folder"])
    samples = files.read_json(folder / "spot_check.json")["samples"]
    assert [sample["number"] for sample in samples] == list(range(1, 11))
    for sample in samples:
        with Image.open(folder / sample["image"]) as picture:
            assert picture.size == (264, 128)


def test_the_analysis_is_of_the_incumbent(state):
    promoted = [name for name, phase in state["iterations"].items() if phase["promoted"]]
    assert state["iterations"]["iter2"]["rca_of"] == promoted[-1]


def test_the_files_of_the_public_tool_are_there(state):
    folder = Path(state["iterations"]["baseline"]["rca_folder"])
    names = {"kpi_gaps.parquet", "threshold.txt", "metrics.json", "weak_samples_breakdown.txt"}
    assert names <= {path.name for path in folder.iterdir()}
    assert repr(state["iterations"]["baseline"]["rca_threshold"]) == (folder / "threshold.txt").read_text()


def test_no_analysis_shows_images_that_were_exchanged_after_they_were_scored(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    picture = next((run.workspace.images / "kpi").rglob("*.png"))

    def exchange(state):
        if "evaluate" in state["iterations"]["baseline"]["stages"]:
            picture.write_bytes(picture.read_bytes() + b"\0")

    with pytest.raises(StateConflict, match=r"images of kpi/testing_set\.csv"):
        run_loop(run, SILENT, after_stage=exchange)
    last = read(run.log)[-1]
    assert (last["iter"], last["stage"], last["status"]) == ("baseline", "rca", "error")


def test_the_images_are_part_of_what_decides_an_analysis(finished, state):
    plan = files.read_json(finished.plan)
    context = StageContext(finished, plan, state, finished.phase("iter1"), None, SILENT)
    name = "images of kpi/testing_set.csv"
    assert Rca().parameters(context)["images"] == {name: plan["image_digests"][name]}
