"""The sides of a workspace hold all its images."""

from __future__ import annotations

from deft.workspace.rows import read_table
from deft.workspace.sides import workspace_sides
from tiny_workspace import make_workspace


def test_every_row_of_every_set_and_of_the_pool_is_on_a_side(tmp_path):
    workspace = make_workspace(tmp_path / "workspace")
    sides = {side.name: len(side) for side in workspace_sides(workspace)}
    assert list(sides) == ["train", "validation", "kpi", "holdout", "pool"]
    assert sides["kpi"] == len(read_table(workspace.kpi_table))


def test_the_generated_pictures_are_on_the_pools_side_with_their_originals_as_goldens(tmp_path):
    workspace = make_workspace(tmp_path / "workspace")
    (pool,) = [side for side in workspace_sides(workspace) if side.name == "pool"]
    rows = len(read_table(workspace.mining_pool_table))
    generated = [pool.place(image) for image in range(rows, len(pool))]
    assert [place.row for place in generated] == list(range(rows + 2, rows + 8))
    assert {place.path for place in generated} == {str(p) for p in workspace.reconstructed_images.iterdir()}
    assert {place.golden for place in generated} == {str(p) for p in workspace.original_images.iterdir()}
    assert {place.label for place in generated} == {"bridge", "missing", "shift"}


def test_a_workspace_without_a_held_out_set_has_one_side_less(tmp_path):
    workspace = make_workspace(tmp_path / "workspace")
    workspace.holdout_table.unlink()
    assert "holdout" not in {side.name for side in workspace_sides(workspace)}
