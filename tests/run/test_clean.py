"""Old checkpoints go, the ones that something needs stay."""

from __future__ import annotations

from deft import files
from deft.loop import run_loop
from deft.run.clean import remove_checkpoints, superfluous_checkpoints
from deft.run.log import read
from deft.workspace.checkpoints import checkpoint_name
from loop_fixtures import SILENT, new_run


def test_only_checkpoints_that_are_neither_best_nor_latest_are_removed_and_the_log_says_so(
    tmp_path, monkeypatch
):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    extra = files.write_text(run.phase("baseline").train / checkpoint_name(7, 80), "old")
    found = superfluous_checkpoints(run)
    assert extra in found
    remove_checkpoints(run, found)
    state = files.read_json(run.state)
    for phase in state["iterations"].values():
        assert all(files.Path(phase[key]).is_file() for key in ("best_ckpt_path", "latest_ckpt_path"))
    assert not extra.exists()
    assert read(run.log)[-1]["outcome"]["removed"][0].endswith(".pth")
