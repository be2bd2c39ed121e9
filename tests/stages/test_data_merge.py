"""The combined table: nothing lost, nothing leaked, everything resolved."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from deft import files
from deft.errors import LeakageFound, StageFailed
from deft.loop import run_loop
from deft.stages.data_merge import require_retained, require_written
from deft.workspace.rows import COLUMNS, write_table
from loop_fixtures import SILENT, new_run


def table(*names: str) -> pd.DataFrame:
    return pd.DataFrame([{column: name for column in COLUMNS} for name in names])


def test_a_lost_row_is_noticed_even_when_another_copy_of_it_remains():
    require_retained(table("a", "a", "b"), table("b", "a", "a", "new"))
    with pytest.raises(StageFailed, match="lost earlier rows"):
        require_retained(table("a", "a", "b"), table("a", "b", "new"))


@pytest.mark.parametrize("written", [("a", "b"), ("a", "b", "d"), ("a", "b", "c", "c"), ("b", "a", "c")])
def test_a_file_that_does_not_read_back_as_it_was_meant_is_refused(tmp_path, written):
    meant = table("a", "b", "c")
    require_written(write_table(tmp_path / "table.csv", meant), meant)
    with pytest.raises(StageFailed, match="does not read back"):
        require_written(write_table(tmp_path / "table.csv", table(*written)), meant)


def test_the_validation_of_a_merge_is_written_beside_the_table(finished):
    record = files.read_json(finished.phase("iter1").merge_validation)
    rows = files.read_csv(finished.phase("iter1").combined_table)
    assert (record["status"], record["rows_checked"], record["train_val_leakage_overlap_count"]) == (
        "ok",
        len(rows),
        0,
    )


def test_a_mined_row_that_is_a_kpi_image_is_a_hard_stop_at_the_merge(tmp_path, monkeypatch):
    """The pool was clean at pre-flight, and a file of the run was swapped afterwards."""
    run, stub = new_run(tmp_path, monkeypatch, max_iterations=1)

    def leak(call):
        if call.action == "image_embeddings":
            staged = sorted(run.synth_pool.images.rglob("synth_ng/*.png"))
            kpi = sorted((run.workspace.images / "kpi").rglob("*.png"))
            for path, secret in zip(staged, kpi, strict=False):
                shutil.copy(secret, path)

    stub.before = leak
    with pytest.raises(LeakageFound):
        run_loop(run, SILENT)
