"""A plan says everything that will happen, and the same workspace gives the same plan but for its moment."""

from __future__ import annotations

import pytest

from deft import files
from deft.errors import InputRefused, UsageError
from deft.preflight.plan import make_plan, tool_calls
from deft.preflight.summary import summary
from deft.schemas import validate
from loop_fixtures import use_stub
from tiny_workspace import make_workspace

GIVEN = {"max_iterations": 2, "threads": 1}


@pytest.fixture
def planned(tmp_path, monkeypatch):
    use_stub(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    return make_plan(workspace, target=None, platform="embedded", given=GIVEN), workspace


def test_a_plan_passes_its_schema_and_holds_no_number_that_is_none(planned):
    (plan, _, _), _ = planned
    validate(plan, "plan")
    files.canonical_json(plan)


def test_without_a_target_the_default_is_taken_and_said_to_be_one(planned):
    (plan, _, _), _ = planned
    assert plan["target"]["source"] == "default"
    assert plan["target"]["normal_form"] == "FAR < 0.1% at recall >= 100%"


def test_planning_twice_differs_in_its_moment_alone(planned):
    (plan, _, _), workspace = planned
    again, _, _ = make_plan(workspace, target=None, platform="embedded", given=GIVEN)
    for name in ("created_at", "run_id"):
        plan.pop(name)
        again.pop(name)
    assert plan == again


def test_every_tool_call_of_every_phase_is_listed():
    calls = tool_calls(1, has_holdout=True)
    assert [(call["phase"], call["stage"]) for call in calls] == [
        ("baseline", "train"),
        ("baseline", "evaluate"),
        ("baseline", "rca"),
        ("iter1", "data_mining"),
        ("iter1", "train"),
        ("iter1", "evaluate"),
        ("iter1", "rca"),
    ]
    assert {call["at_most"] for call in calls if call["stage"] == "evaluate"} == {6}


def test_an_unknown_platform_is_refused_with_the_known(tmp_path):
    workspace = make_workspace(tmp_path / "workspace")
    with pytest.raises(UsageError, match=r"known: embedded.*abacus"):
        make_plan(workspace, target=None, platform="abacus", given={})


@pytest.mark.parametrize("alias", ["local", "CPU"])
def test_a_platform_by_its_alias_is_the_same_plan(planned, alias):
    (plan, _, _), workspace = planned
    files.write_yaml(workspace.platform_settings, {})
    found, _, _ = make_plan(workspace, target=None, platform=alias, given=GIVEN)
    assert (found["platform"], found["platform_settings"]) == ("embedded", plan["platform_settings"])


def test_a_target_that_does_not_parse_is_refused_before_anything_is_read(tmp_path):
    workspace = make_workspace(tmp_path / "workspace")
    with pytest.raises(UsageError, match="for example"):
        make_plan(workspace, target="banana", platform="embedded", given={})


def test_a_trained_network_in_the_spec_asks_for_the_option_and_is_accepted_with_it(planned, tmp_path):
    _, workspace = planned
    model = files.write_text(tmp_path / "model.pth", "weights")
    spec = files.read_yaml(workspace.baseline_spec)
    spec["train"]["pretrained_model_path"] = str(model)
    files.write_yaml(workspace.baseline_spec, spec)
    asked = {"target": None, "platform": "embedded", "given": GIVEN}
    with pytest.raises(InputRefused, match=r"train\.pretrained_model_path[\s\S]*--baseline-checkpoint"):
        make_plan(workspace, **asked)
    plan, _, _ = make_plan(workspace, **asked, baseline=model)
    assert plan["baseline"]["checkpoint"] == str(model)


def test_the_summary_shows_each_value_with_its_source_and_says_what_cannot_be_proved(planned):
    (plan, inspection, checks), _ = planned
    text = summary(plan, inspection, checks)
    assert "| max iterations" in text
    assert any("2" in line and "user" in line for line in text.splitlines() if "max iterations" in line)
    assert "30 PASS rows can never prove FAR < 0.1 %" in text
    assert "| kpi        | 30   | 15      |" in text


def test_the_summary_warns_where_no_held_out_set_exists(tmp_path, monkeypatch):
    use_stub(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    workspace.holdout_table.unlink()
    plan, inspection, checks = make_plan(workspace, target=None, platform="embedded", given=GIVEN)
    assert "used adaptively" in summary(plan, inspection, checks)


def test_a_run_is_named_after_the_newest_one_whatever_the_clock_says(tmp_path, monkeypatch):
    use_stub(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    (workspace.results / "run_29991231_235958").mkdir(parents=True)
    plan, _, _ = make_plan(workspace, target=None, platform="embedded", given=GIVEN)
    assert plan["run_id"] == "run_29991231_235959"


@pytest.mark.parametrize("name", ["run_20269999_999999", "run_99991231_235959"])
def test_a_run_folder_named_after_no_moment_is_named_in_the_refusal(tmp_path, monkeypatch, name):
    use_stub(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    (workspace.results / name).mkdir(parents=True)
    with pytest.raises(InputRefused, match=name):
        make_plan(workspace, target=None, platform="embedded", given=GIVEN)
