"""Components are found again from any of their lights."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from deft.errors import InputRefused
from deft.workspace.components import component_table, join_gaps, kpi_components
from deft.workspace.rows import ImageLayout
from tiny_workspace import make_workspace

ROWS = pd.DataFrame(
    {
        "input_path": ["b1", "b2"],
        "golden_path": ["g", "g"],
        "label": ["PASS", "bridge"],
        "object_name": ["C1", "C2"],
    }
)


def test_several_lights_are_one_component_with_its_first_light():
    components = component_table(ROWS, Path("/images"), ImageLayout(("White", "Low"), ".jpg"))
    gaps = pd.DataFrame(
        {
            "filepath": ["/images/b2/C2_White.jpg", "/images/b2/C2_Low.jpg", "/images/b1/C1_Low.jpg"],
            "label": ["bridge", "bridge", "PASS"],
            "weakness": [0.5, 0.5, 0.1],
        }
    )
    joined = join_gaps(gaps, components)
    assert joined["filepath"].tolist() == ["/images/b2/C2_White.jpg", "/images/b1/C1_White.jpg"]
    assert joined["component_id"].tolist() == ["b2/C2", "b1/C1"]
    assert joined["golden_filepath"].tolist() == ["/images/g/C2_White.jpg", "/images/g/C1_White.jpg"]
    assert joined["light_filepaths"].iloc[0] == ["/images/b2/C2_White.jpg", "/images/b2/C2_Low.jpg"]


def test_a_gap_of_another_table_is_refused():
    components = component_table(ROWS, Path("/images"), ImageLayout(("White",), ".jpg"))
    gaps = pd.DataFrame({"filepath": ["/elsewhere.jpg"], "label": ["PASS"]})
    with pytest.raises(InputRefused, match="not an image of the KPI table"):
        join_gaps(gaps, components)


def test_the_components_of_the_kpi_set_exist_on_disk(tmp_path):
    components = kpi_components(make_workspace(tmp_path / "workspace"))
    assert all(Path(path).is_file() for path in components["filepath"])
    assert all(Path(path).is_file() for path in components["golden_filepath"])
