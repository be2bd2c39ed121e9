"""The demo draws its own folder, runs the loop in it, resumes it, shows it again, and touches no other."""

from __future__ import annotations

import pytest

from deft import files
from deft.run.lock import RunLock
from deft.run.log import read
from deft.workspace.demo import MADE_BY
from deft.workspace.layout import Workspace
from loop_fixtures import use_stub
from tiny_workspace import make_workspace
from verb_fixtures import inputs_of, run_in_process, tree


@pytest.fixture
def drawn(monkeypatch):
    """Let a drawing take no time: a tiny workspace with the demo's mark; returns what was drawn."""
    calls = []

    def draw(root, *, seed, quick, progress):
        calls.append((seed, quick))
        if root.is_dir():
            root.rmdir()
        workspace = make_workspace(root, seed=seed)
        files.write_json(workspace.provenance, {"made_by": MADE_BY, "seed": seed, "quick": quick})

    monkeypatch.setattr("deft.workspace.demo.draw_workspace", draw)
    return calls


@pytest.fixture
def stub(monkeypatch):
    return use_stub(monkeypatch)


@pytest.fixture
def runs(monkeypatch):
    return run_in_process(monkeypatch)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "demo-workspace"


def demo(say, place, *more):
    return say("demo", "--workspace", place, "--quick", *more)


def test_the_demo_draws_plans_approves_runs_and_shows_what_it_gained(drawn, stub, runs, place, say):
    said = demo(say, place, "--seed", 3)
    assert (said.code, said.record["status"]) == (0, "complete")
    assert drawn == [(3, True)]
    assert list(said.record["phases"]) == ["baseline", "iter1"]
    run = runs[0]
    assert files.read_json(run.approval)["by"] == "demo"
    plan = files.read_json(run.plan)
    settings = {name: plan["settings"][name]["value"] for name in ("seed", "max_iterations", "spot_check")}
    assert settings == {"seed": 3, "max_iterations": 1, "spot_check": False}
    assert "Pre-Flight Summary" in said.err
    assert said.record["report"] == str(run.report)


def test_the_whole_demo_plans_three_iterations_of_the_whole_factory(drawn, stub, place, say, monkeypatch):
    asked = []
    monkeypatch.setattr("deft.cli.running.start_runner", lambda run, **how: asked.append(run))
    monkeypatch.setattr("deft.cli.running.follow", lambda run, **how: {"status": "running"})
    say("demo", "--workspace", place)
    assert drawn == [(0, False)]
    assert files.read_json(asked[0].plan)["settings"]["max_iterations"]["value"] == 3


def test_a_second_call_shows_the_finished_run_again_and_does_nothing(drawn, stub, runs, place, say):
    first = demo(say, place)
    before, calls = tree(place), len(stub.calls)
    second = demo(say, place)
    assert second.record == first.record
    assert (len(drawn), len(runs), len(stub.calls)) == (1, 1, calls)
    assert tree(place) == before


def test_a_demo_that_was_interrupted_goes_on_where_it_was(drawn, stub, runs, place, say):
    def stop_after_the_baseline(call):
        from deft.runner import StopRequested

        if "iter1" in str(call.writes):
            raise StopRequested

    stub.before = stop_after_the_baseline
    interrupted = demo(say, place)
    assert (interrupted.code, interrupted.record["status"]) == (1, "stopped")
    stub.before = lambda call: None
    resumed = demo(say, place)
    assert (resumed.code, resumed.record["status"]) == (0, "complete")
    assert runs[0] == runs[1]
    done = [
        (e["iter"], e["stage"]) for e in read(runs[0].log) if e["kind"] == "stage" and e["status"] == "ok"
    ]
    assert done.count(("baseline", "train")) == 1
    assert len(drawn) == 1


def test_a_stage_that_fails_ends_the_demo_with_its_code_and_its_words(drawn, stub, runs, place, say):
    from deft.errors import EnvironmentMissing

    def fail(call):
        raise EnvironmentMissing("no memory is left", value="12 GB", hint="close something")

    stub.before = fail
    said = demo(say, place)
    assert (said.code, said.record["error"]["fact"]) == (5, "no memory is left")
    assert said.record["next"].startswith("deft run ")


def test_a_demo_goes_on_only_with_the_inputs_that_it_approved(drawn, stub, runs, place, say):
    stub.before = lambda call: 1 / 0
    demo(say, place)
    stub.before = lambda call: None
    table = Workspace(place).kpi_table
    table.write_bytes(table.read_bytes() + b"\n")
    said = demo(say, place)
    assert said.code == 4
    assert "kpi/testing_set.csv" in said.err


def test_fresh_starts_again_from_nothing(drawn, stub, runs, place, say):
    demo(say, place)
    (place / "kept.txt").write_text("mine")
    said = demo(say, place, "--fresh", "--seed", 4)
    assert said.code == 0
    assert drawn == [(0, True), (4, True)]
    assert not (place / "kept.txt").exists()
    assert len(Workspace(place).runs()) == 1


@pytest.mark.parametrize("words", [("--seed", 1), ()], ids=["another seed", "the whole size"])
def test_a_workspace_of_another_seed_or_size_is_not_taken_for_this_one(drawn, stub, runs, place, say, words):
    demo(say, place)
    before = tree(place)
    said = say("demo", "--workspace", place, *(["--quick", *words] if words else []))
    assert (said.code, said.record["error"]["hint"]) == (4, "add --fresh")
    assert tree(place) == before


@pytest.mark.parametrize("words", [(), ("--fresh",)])
def test_a_folder_that_the_demo_did_not_draw_is_left_alone(drawn, stub, runs, tmp_path, say, words):
    workspace = make_workspace(tmp_path / "mine")
    before = tree(workspace.root)
    said = demo(say, workspace.root, *words)
    assert said.code == 4
    assert "folder was not drawn by the demo" in said.err
    assert tree(workspace.root) == before
    assert (drawn, runs) == ([], [])


def test_a_folder_with_a_copied_mark_is_not_approved_by_the_demo(drawn, stub, runs, tmp_path, say):
    workspace = make_workspace(tmp_path / "mine")
    files.write_json(workspace.provenance, {"made_by": MADE_BY, "seed": 0, "quick": True})
    before = inputs_of(workspace.root)
    said = demo(say, workspace.root)
    assert said.code == 4
    assert "approves only a workspace that it drew itself" in said.err
    assert (tree(workspace.root), runs) == (before, [])


def test_an_empty_folder_is_as_good_as_none(drawn, stub, runs, place, say):
    place.mkdir()
    assert demo(say, place, "--fresh").code == 0
    assert len(drawn) == 1


def test_fresh_does_not_pull_the_floor_from_under_a_run_at_work(drawn, stub, runs, place, say):
    demo(say, place)
    run = Workspace(place).runs()[0]
    with RunLock(run):
        before = tree(place)
        said = demo(say, place, "--fresh")
        assert (said.code, said.record["error"]["hint"]) == (4, f"deft stop {run.root}")
        assert tree(place) == before


def test_a_seed_below_nothing_is_a_usage_error_before_anything_is_drawn(place, say):
    said = say("demo", "--workspace", place, "--seed", -1)
    assert said.code == 2
    assert "--seed" in said.record["error"]["fact"]
    assert not place.exists()
