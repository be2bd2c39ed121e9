"""Pre-flight sees what would end a run, and writes nothing."""

from __future__ import annotations

import shutil

import pytest

from deft.errors import InputRefused, LeakageFound, StateConflict
from deft.preflight.inspect import input_digests, inspect_workspace, require_unchanged_images
from deft.workspace.image_digests import image_digests
from deft.workspace.rows import read_table, write_table
from tiny_workspace import LIGHT, make_workspace


@pytest.fixture
def workspace(tmp_path):
    return make_workspace(tmp_path / "workspace")


def tree(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_a_good_workspace_is_counted_and_left_untouched(workspace):
    before = tree(workspace.root)
    inspection = inspect_workspace(workspace)
    assert inspection.rows("kpi") == (30, 15)
    assert (len(inspection.pool), inspection.pairs) == (54, 6)
    assert tree(workspace.root) == before


def test_a_missing_image_is_named_with_its_row(workspace):
    row = read_table(workspace.kpi_table).iloc[3]
    (workspace.images / row["input_path"] / f"{row['object_name']}_{LIGHT}.png").unlink()
    with pytest.raises(InputRefused, match="row 5"):
        inspect_workspace(workspace)


@pytest.mark.parametrize(("keep", "only"), [("PASS", "PASS"), ("bridge", "defect")])
def test_a_set_of_one_class_is_refused(workspace, keep, only):
    table = read_table(workspace.kpi_table)
    write_table(workspace.kpi_table, table[table["label"] == keep])
    with pytest.raises(InputRefused, match=f"{only} rows only"):
        inspect_workspace(workspace)


def test_a_kpi_image_in_the_training_set_is_a_hard_stop_whatever_it_is_called(workspace):
    kpi, train = (read_table(path).iloc[0] for path in (workspace.kpi_table, workspace.training_table))
    source = workspace.images / kpi["input_path"] / f"{kpi['object_name']}_{LIGHT}.png"
    shutil.copy(source, workspace.images / train["input_path"] / f"{train['object_name']}_{LIGHT}.png")
    with pytest.raises(LeakageFound, match="train row 2"):
        inspect_workspace(workspace)


def test_an_unpaired_picture_is_refused_by_its_stem(workspace):
    next(workspace.original_images.iterdir()).unlink()
    with pytest.raises(InputRefused, match=r"R\d"):
        inspect_workspace(workspace)


def test_an_absent_pool_is_refused(workspace):
    workspace.mining_pool_table.unlink()
    with pytest.raises(InputRefused, match=r"mining_pool\.csv"):
        inspect_workspace(workspace)


def test_digests_name_every_table_and_mark_the_absent(workspace):
    workspace.holdout_table.unlink()
    digests = input_digests(workspace)
    assert digests["kpi/holdout_set.csv"] is None
    assert len(digests["kpi/testing_set.csv"]) == 64


@pytest.mark.parametrize(
    ("split", "name"),
    [("train", "images of train/base/training_set.csv"), ("kpi", "images of kpi/testing_set.csv")],
)
def test_an_image_that_changed_after_approval_is_named_by_its_table(workspace, split, name):
    plan = {"image_digests": image_digests(workspace)}
    require_unchanged_images(plan, workspace)
    picture = next((workspace.images / split).rglob("*.png"))
    picture.write_bytes(picture.read_bytes() + b"\0")
    with pytest.raises(StateConflict, match=name):
        require_unchanged_images(plan, workspace)


def test_a_spec_without_a_light_is_refused_before_gap_analysis_would(workspace):
    text = workspace.baseline_spec.read_text().replace("SolderLight: 0", "")
    workspace.baseline_spec.write_text(text)
    with pytest.raises(InputRefused, match="names no light"):
        inspect_workspace(workspace)


def test_names_that_gap_analysis_would_read_as_numbers_are_refused(workspace):
    table = read_table(workspace.kpi_table)
    names = [f"{number:03d}" for number in range(len(table))]
    for name, row in zip(names, table.to_dict("records"), strict=True):
        for folder in ("input_path", "golden_path"):
            old = workspace.images / row[folder] / f"{row['object_name']}_{LIGHT}.png"
            old.rename(old.with_name(f"{name}_{LIGHT}.png"))
    write_table(workspace.kpi_table, table.assign(object_name=names))
    with pytest.raises(InputRefused, match="every object_name is a number"):
        inspect_workspace(workspace)


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_results_that_are_no_folder_are_refused_because_no_run_could_be_made(workspace, kind):
    if kind == "file":
        workspace.results.write_text("notes")
    else:
        workspace.results.symlink_to(workspace.root / "gone")
    with pytest.raises(InputRefused, match=r"`results` is no folder[\s\S]*mv "):
        inspect_workspace(workspace)
