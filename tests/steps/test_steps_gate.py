"""The gate of one step: the same call is the same plan, and nothing happens before the user's word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deft import files
from deft.errors import InputRefused, NotApproved, StageFailed
from deft.guard import approval
from deft.preflight.plan import make_plan
from deft.run.gate import pending_for, pending_run, save_pending
from deft.schemas import validate
from deft.steps.gate import Step, carry_out, plan_of, plan_text, require_agreed
from deft.workspace.layout import Workspace
from loop_fixtures import SILENT, new_run
from step_fixtures import run_deft, say_go, use_step_platform
from stub_platform import StubPlatform
from tiny_workspace import make_workspace


class Writing:
    """A step that writes one file, or fails after having written it."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def step(self) -> Step:
        raise NotImplementedError

    def work(self, folder: Path, platform: Any, progress: Any) -> dict[str, Any]:
        files.write_text(folder / "result.txt", "done")
        if self.fails:
            raise StageFailed("the tool failed", hint=f"read {folder}/tool.log")
        return {"written": 1}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return files.write_text(tmp_path / "tables" / "targets.parquet", "rows")


def step(table: Path, **more: Any) -> Step:
    values: dict[str, Any] = {
        "kind": "mine",
        "arguments": ("mine", str(table)),
        "inputs": (table,),
        "settings": {"top_k_per_target": {"value": 5, "source": "default"}},
        "results": table.parent / "out" / "mining_results",
        "writes": ("mined.parquet",),
        "calls": {"embedding image_embeddings": 2},
        "platform": "embedded",
        **more,
    }
    return Step(**values)


def do(asked: Step, request: Writing | None = None) -> tuple[dict[str, Any], Path]:
    return carry_out(request or Writing(), asked, plan_of(asked), StubPlatform(), SILENT)


def test_the_same_call_has_the_same_plan_and_name(table):
    assert plan_of(step(table)) == plan_of(step(table))
    plan = plan_of(step(table))
    validate(plan, "plan")
    assert plan["run_id"].startswith("mine-")


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"top_k_per_target": {"value": 6, "source": "user"}}},
        {"platform": "docker"},
        {"calls": {}},
    ],
)
def test_another_call_has_another_plan(table, change):
    assert plan_of(step(table))["run_id"] != plan_of(step(table, **change))["run_id"]


def test_changed_content_of_an_input_is_another_plan(table):
    before = plan_of(step(table))
    table.write_text("other rows")
    assert plan_of(step(table))["run_id"] != before["run_id"]


def test_a_plan_belongs_to_the_workspace_around_its_inputs(tmp_path):
    workspace = make_workspace(tmp_path / "workspace")
    asked = step(workspace.kpi_table, results=tmp_path / "elsewhere" / "mining_results")
    plan = plan_of(asked)
    assert plan["workspace"] == str(workspace.root)
    assert list(plan["inputs"]) == ["kpi/testing_set.csv"]


def test_outside_a_workspace_a_plan_belongs_to_the_folder_that_holds_its_output(table):
    assert plan_of(step(table))["workspace"] == str(table.parent)
    with pytest.raises(InputRefused, match="mkdir"):
        plan_of(step(table, results=table.parent / "a" / "b" / "mining_results"))


def test_what_a_person_reads_names_inputs_settings_calls_and_results(table):
    text = plan_text(plan_of(step(table, advice=("the pool is small",))))
    for part in (
        f"command  deft mine {table}",
        "targets.parquet",
        "top_k_per_target = 5 (default)",
        "embedding image_embeddings, at most 2, on platform embedded",
        "out/mining_results/<TS>: mined.parquet",
        "the pool is small",
    ):
        assert part in text


def test_nothing_is_written_before_the_users_word_and_the_plan_waits(table):
    with pytest.raises(NotApproved, match="nobody approved this plan") as caught:
        do(step(table))
    assert caught.value.hint.startswith("let the user say go, or deft approve")
    assert not (table.parent / "out").exists()
    assert pending_for(Workspace(table.parent)) == plan_of(step(table))


def test_an_approved_step_runs_and_keeps_its_plan_and_approval(table):
    plan = plan_of(step(table))
    save_pending(plan)
    say_go(table.parent)
    found, folder = do(step(table))
    assert found == {"written": 1}
    assert {path.name for path in folder.iterdir()} == {"result.txt", "plan.json", "approval.json"}
    assert files.read_json(folder / "plan.json") == plan
    validate(files.read_json(folder / "approval.json"), "approval")
    assert pending_for(Workspace(table.parent)) is None


def test_a_second_run_in_the_same_second_gets_a_folder_of_its_own(table):
    save_pending(plan_of(step(table)))
    say_go(table.parent)
    folders = {do(step(table))[1] for _ in range(3)}
    assert len(folders) == 3
    assert all((folder / "result.txt").is_file() for folder in folders)


def test_a_failed_step_leaves_an_attempt_and_no_results(table):
    save_pending(plan_of(step(table)))
    say_go(table.parent)
    with pytest.raises(StageFailed):
        do(step(table), Writing(fails=True))
    (left,) = (table.parent / "out" / "mining_results").iterdir()
    assert left.name.endswith(".attempt")
    assert do(step(table))[1].name + ".attempt" != left.name


def test_what_changed_since_the_approval_is_named(table):
    save_pending(plan_of(step(table)))
    say_go(table.parent)
    table.write_text("other rows")
    changed = {"top_k_per_target": {"value": 6, "source": "user"}}
    with pytest.raises(NotApproved) as caught:
        require_agreed(plan_of(step(table, settings=changed)))
    assert "settings.top_k_per_target.value (5 → 6)" in caught.value.value
    assert "inputs.targets.parquet" in caught.value.value


def test_a_refused_step_does_not_run(table):
    plan = plan_of(step(table))
    save_pending(plan)
    approval.decide(plan, "refused", "user-words", "s-1")
    with pytest.raises(NotApproved, match="refused"):
        do(step(table))


def test_a_run_that_waited_is_named_when_a_step_takes_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr("deft.preflight.plan.platform_named", lambda name, settings=None: StubPlatform())
    workspace = make_workspace(tmp_path / "workspace")
    loop, _, _ = make_plan(workspace, target=None, platform="embedded", given={"threads": 1})
    save_pending(loop)
    with pytest.raises(NotApproved, match=loop["run_id"]):
        do(step(workspace.kpi_table, results=workspace.root / "out" / "mining_results"))


def test_a_step_is_never_opened_as_a_run(table, capsys):
    save_pending(plan_of(step(table)))
    say_go(table.parent)
    assert pending_run(Workspace(table.parent)) is None
    assert run_deft(capsys, "run", table.parent)[0] == 4
    assert not (table.parent / "results").exists()


def test_a_planned_runs_folder_is_written_only_under_its_own_approval(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    run.approval.unlink()
    asked = step(run.workspace.kpi_table, results=run.root / "baseline" / "mining_results")
    save_pending(plan_of(asked))
    say_go(run.workspace.root)
    with pytest.raises(NotApproved):
        do(asked)
    assert not (run.root / "baseline").exists()


def test_a_person_at_a_terminal_approves_and_is_told_the_same_command(table, monkeypatch, capsys):
    use_step_platform(monkeypatch)
    save_pending(plan_of(step(table)))
    monkeypatch.setattr("deft.run.gate.agent_marker", lambda: None)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.prompt", lambda *words, **more: "yes")
    from deft.cli.main import main

    assert main(["approve", str(table.parent), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["next"] == f"deft mine {table}"
    assert require_agreed(plan_of(step(table)))["by"] == "terminal"


def test_a_folder_where_a_file_is_wanted_is_refused_as_one(tmp_path, monkeypatch, capsys):
    use_step_platform(monkeypatch)
    for words in (("train", tmp_path), ("mine", tmp_path, tmp_path, "--output-dir", tmp_path)):
        code, record = run_deft(capsys, *words)
        assert (code, record["error"]["value"]) == (3, str(tmp_path))
        assert record["error"]["fact"] == "expected a file, found a folder"


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path, monkeypatch, capsys):
    use_step_platform(monkeypatch)
    code, record = run_deft(
        capsys, "mine", tmp_path / "no.parquet", tmp_path / "no", "--output-dir", tmp_path
    )
    assert (code, record["error"]["value"]) == (3, str(tmp_path / "no.parquet"))
