"""The whole loop on the stub platform: order, stop rules, incumbent, records."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from deft import files
from deft.errors import InputRefused, NotApproved
from deft.loop import COMPLETE, JUDGEMENT, run_loop
from deft.run.log import read
from deft.run.spot_check import record_verdicts
from deft.run.state import rebuild
from deft.workspace.rows import COLUMNS, read_table
from loop_fixtures import SILENT, new_run


def stages(run) -> list[str]:
    return [
        f"{e['iter']}/{e['stage']}" for e in read(run.log) if e["kind"] == "stage" and e["status"] == "ok"
    ]


def test_a_run_does_every_stage_in_order_and_stops_after_the_last_iteration(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    assert run_loop(run, SILENT) == COMPLETE
    iteration = ["routing", "anomalygen", "data_mining", "data_merge", "train", "evaluate", "rca"]
    baseline = ["baseline/train", "baseline/evaluate", "baseline/rca"]
    assert stages(run) == [*baseline, *(f"iter1/{name}" for name in iteration), "iter1/loop_stop"]
    assert files.read_json(run.state)["stop_reason"] == "max_iterations"


def test_an_ended_run_can_be_called_again_and_does_nothing_more(tmp_path, monkeypatch):
    run, stub = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    lines, calls = run.log.read_bytes(), len(stub.calls)
    assert run_loop(run, SILENT) == COMPLETE
    assert (run.log.read_bytes(), len(stub.calls)) == (lines, calls)


def test_a_met_target_ends_the_run_without_another_iteration(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, target="FAR < 99% at recall = 100%")
    run_loop(run, SILENT)
    assert stages(run) == ["baseline/train", "baseline/evaluate", "baseline/loop_stop"]
    assert files.read_json(run.state)["stop_reason"] == "target_met"


def test_no_row_is_mined_twice(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=3)
    run_loop(run, SILENT)
    mined = [
        pd.read_parquet(path)["filepath"]
        for path in sorted(run.root.glob("iter*/mining_filter/mined.parquet"))
    ]
    everything = pd.concat(mined)
    assert len(mined) >= 2
    assert not everything.duplicated().any()


def test_an_exhausted_pool_stops_the_run_instead_of_training_on_the_same_rows(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=9, top_k_per_target=40, filter_by_label="none")
    run_loop(run, SILENT)
    state = files.read_json(run.state)
    assert state["stop_reason"] == "nothing_new"
    assert "train" not in state["iterations"][f"iter{state['current_iteration']}"]["stages"]


def test_each_combined_table_holds_every_earlier_row_and_the_new_ones(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    run_loop(run, SILENT)
    first, second = (read_table(run.phase(f"iter{n}").combined_table) for n in (1, 2))
    rows = [set(map(tuple, table[list(COLUMNS)].to_numpy())) for table in (first, second)]
    assert rows[0] < rows[1]
    base = read_table(run.workspace.training_table)
    assert (first["input_path"].head(len(base)) == "kpi/images/" + base["input_path"]).all()
    provenance = files.read_csv(run.phase("iter2").combined_provenance)
    assert set(provenance["source"]) == {"previous_iter_train", "mining_pool"}


def test_a_worse_candidate_never_becomes_the_incumbent(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=3)
    run_loop(run, SILENT)
    state = files.read_json(run.state)
    best = state["iterations"][state["incumbent"]]
    assert best["far_pct"] == min(phase["far_pct"] for phase in state["iterations"].values())
    assert files.read_json(run.best_model)["iteration"] == state["incumbent"]


def test_an_iteration_starts_from_the_incumbents_checkpoint(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    spec = files.read_yaml(run.phase("iter1").training_spec)
    state = files.read_json(run.state)
    assert spec["train"]["pretrained_model_path"] == state["iterations"]["baseline"]["best_ckpt_path"]
    assert "resume_training_checkpoint_path" not in spec["train"]
    roots = {
        name: spec["dataset"]["classify"][f"{name}_dataset"]["images_dir"] for name in ("train", "infer")
    }
    workspace = run.workspace.root
    assert roots == {"train": str(workspace), "infer": str(workspace / "kpi" / "images")}


def test_the_control_arms_train_as_often_with_random_rows_or_none(tmp_path, monkeypatch):
    drawn, _ = new_run(tmp_path / "random", monkeypatch, mining="random")
    plain, _ = new_run(tmp_path / "none", monkeypatch, mining="none")
    for run in (drawn, plain):
        assert run_loop(run, SILENT) == COMPLETE
    states = [files.read_json(run.state)["iterations"]["iter2"] for run in (drawn, plain)]
    assert states[0]["mining_mined_count"] > 0
    assert states[1]["mining_mined_count"] == 0
    assert all("train" in state["stages"] for state in states)


def test_a_run_pauses_for_eyes_and_goes_on_after_the_verdicts(tmp_path, monkeypatch):
    from deft.run.log import LoopLog

    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    assert run_loop(run, SILENT, until_judgement=True) == JUDGEMENT
    assert stages(run)[-1] == "baseline/rca"
    pictures = list(run.root.glob("baseline/rca_results/*/rca_images/*.png"))
    answers = [f"{n}=edge case" for n in range(2, len(pictures) + 1)]
    plan = files.read_json(run.plan)
    record = record_verdicts(run, plan, LoopLog(run.log), ["1=mislabeled", *answers])
    assert len(record["proposed_corrections"]) == 1
    assert run_loop(run, SILENT, until_judgement=True) == JUDGEMENT
    assert stages(run)[-1] == "iter1/rca"


def test_a_run_without_eyes_records_that_nobody_looked(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    notes = [entry for entry in read(run.log) if entry["stage"] == "spot_check"]
    assert [note["outcome"]["looked"] for note in notes] == [False, False]


def test_the_state_is_the_fold_of_the_log_to_the_byte(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    written = run.state.read_bytes()
    run.state.unlink()
    rebuild(run)
    assert run.state.read_bytes() == written


def test_a_pool_that_changes_during_a_run_is_a_hard_stop(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    picture = next(run.workspace.mining_pool.rglob("*.png"))
    picture.write_bytes(picture.read_bytes() + b"\0")
    with pytest.raises(InputRefused, match="changed during the run"):
        run_loop(run, SILENT)
    assert read(run.log)[-1]["status"] == "error"


def test_no_stage_runs_without_the_approval_of_exactly_this_plan(tmp_path, monkeypatch):
    run, stub = new_run(tmp_path, monkeypatch)
    plan = files.read_json(run.plan)
    plan["settings"]["num_epochs"]["value"] = 50
    files.write_json(run.plan, plan)
    with pytest.raises(NotApproved):
        run_loop(run, SILENT)
    assert stub.calls == []


def test_training_images_are_found_under_every_derived_root(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    table = read_table(run.phase("iter1").combined_table)
    missing = [
        row
        for row in table.to_dict("records")
        if not (run.workspace.root / row["input_path"] / f"{row['object_name']}_SolderLight.png").is_file()
    ]
    assert missing == []
    assert Path(files.read_json(run.best_model)["checkpoint"]).is_file()


def test_a_component_of_several_lights_is_one_target_and_one_row_of_the_pool(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1, lights=("White", "Low"))
    run_loop(run, SILENT)
    pool = pd.read_parquet(run.synth_pool.source_parquet)
    targets = pd.read_parquet(run.phase("iter1").mining_filter / "targets.parquet")
    gaps = pd.concat(map(pd.read_parquet, run.root.glob("baseline/rca_results/*/kpi_gaps.parquet")))
    assert len(pool) == 60
    assert len(gaps) == 2 * len(targets)
    for table in (pool, targets):
        assert all(len(paths) == 2 and paths[0].endswith("_White.png") for paths in table["light_filepaths"])
        assert all(Path(path).is_file() for paths in table["golden_light_filepaths"] for path in paths)
