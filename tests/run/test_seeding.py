"""A baseline that came trained is evaluated, not trained again."""

from __future__ import annotations

import pytest

from deft import files
from deft.embedding.weight_files import require_plain_checkpoint
from deft.errors import InputRefused, StateConflict
from deft.loop import run_loop
from deft.preflight.plan import make_plan
from deft.run.by_hand import log_stage
from deft.run.gate import approve, open_run, remember_drawn, save_pending
from deft.run.log import read
from deft.run.seeding import baseline_record
from loop_fixtures import SETTINGS, SILENT, TARGET, new_run, use_stub
from tiny_workspace import make_workspace


@pytest.fixture
def seeded(tmp_path, monkeypatch):
    stub = use_stub(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    checkpoint = files.write_json(tmp_path / "automl.pth", {"known": {"PASS": 24}, "epoch": 3})
    given = {**SETTINGS, "max_iterations": 1}
    plan, _, _ = make_plan(workspace, target=TARGET, platform="embedded", given=given, baseline=checkpoint)
    save_pending(plan)
    remember_drawn(workspace)
    approve(workspace, by="demo")
    return open_run(workspace), checkpoint, stub


def test_a_seeded_baseline_starts_at_evaluate_and_is_the_first_warm_start(seeded):
    run, checkpoint, stub = seeded
    run_loop(run, SILENT)
    done = [f"{entry['iter']}/{entry['stage']}" for entry in read(run.log) if entry["kind"] == "stage"]
    assert done[0] == "baseline/evaluate"
    assert [call.name for call in stub.calls].count("visual_changenet train") == 1
    spec = files.read_yaml(run.phase("iter1").training_spec)
    assert spec["train"]["pretrained_model_path"] == str(checkpoint)


def test_no_stage_by_hand_comes_before_the_checkpoint_and_the_run_still_starts(seeded):
    run, _, _ = seeded
    entry = {"iter": "baseline", "stage": "train", "status": "error", "summary": "mine"}
    with pytest.raises(StateConflict, match="not recorded yet"):
        log_stage(run.log, entry)
    assert run_loop(run, SILENT) == "complete"
    assert [entry["kind"] for entry in read(run.log)].count("manual") == 0


def test_a_checkpoint_that_changed_since_the_approval_is_refused(seeded):
    run, checkpoint, stub = seeded
    checkpoint.write_text("{}")
    with pytest.raises(StateConflict, match="changed since the approval"):
        run_loop(run, SILENT)
    assert stub.calls == []


def test_a_checkpoint_that_is_not_there_is_refused_at_pre_flight(tmp_path, monkeypatch):
    use_stub(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    with pytest.raises(InputRefused, match="baseline checkpoint does not exist"):
        make_plan(workspace, target=TARGET, platform="embedded", given={}, baseline=tmp_path / "no.pth")


def test_a_plan_without_a_checkpoint_trains_its_baseline(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    assert files.read_json(run.plan)["baseline"] is None


def test_a_file_that_the_engine_would_not_load_is_refused_at_pre_flight(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("input_path,label\nboard,PASS\n")
    with pytest.raises(
        InputRefused, match=r"not a zip archive[\s\S]*labels.csv[\s\S]*save the weights again"
    ):
        baseline_record(table, own_engine=True)


def test_no_plan_is_made_with_such_a_file(tmp_path, monkeypatch):
    use_stub(monkeypatch)
    monkeypatch.setattr("deft.run.seeding.require_plain_checkpoint", require_plain_checkpoint)
    workspace = make_workspace(tmp_path / "workspace")
    with pytest.raises(InputRefused, match="not a zip archive"):
        make_plan(
            workspace, target=TARGET, platform="embedded", given={}, baseline=workspace.mining_pool_table
        )


def test_what_only_an_image_knows_to_load_is_left_to_the_image(tmp_path):
    encrypted = tmp_path / "model.tlt"
    encrypted.write_bytes(b"encrypted")
    assert baseline_record(encrypted, own_engine=False)["checkpoint"] == str(encrypted)


def test_a_checkpoint_that_torch_wrote_is_planned_by_its_hash(tmp_path):
    import torch

    path = tmp_path / "model.pth"
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, path)
    record = baseline_record(path, own_engine=True)
    assert record == {"checkpoint": str(path), "sha256": files.sha256_of_file(path)}
