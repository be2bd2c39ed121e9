"""When the gate is engaged, and whose approval counts in a session."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from deft.guard import approval, engagement

SESSION = "s-1"
MARKERS = "engaged"


def state_home() -> Path:
    return Path(approval.state_home())


def test_a_session_is_not_engaged_until_something_engages_it() -> None:
    assert not engagement.is_engaged(SESSION)
    engagement.engage(SESSION, "deft-aoi:tao-run-deft-aoi")
    assert engagement.is_engaged(SESSION)
    assert not engagement.is_engaged("s-2")


def test_a_plan_made_in_a_session_engages_it(tmp_path: Path) -> None:
    approval.save_pending({"run_id": "r", "workspace": str(tmp_path)}, SESSION)
    assert engagement.is_engaged(SESSION)


def test_of_an_unknown_session_any_engaged_one_counts() -> None:
    assert not engagement.is_engaged(None)
    engagement.engage(SESSION, "test")
    assert engagement.is_engaged(None)


def test_a_state_folder_that_cannot_be_read_counts_as_engaged() -> None:
    state_home().parent.mkdir(parents=True, exist_ok=True)
    state_home().write_text("a file where the folder should be")
    assert engagement.is_engaged(SESSION)
    assert engagement.is_engaged(None)


def test_a_marker_that_leads_in_circles_counts_as_engaged() -> None:
    folder = state_home() / MARKERS
    folder.mkdir(parents=True)
    (folder / "s-1.json").symlink_to(folder / "s-1.json")
    assert engagement.is_engaged(SESSION)


@pytest.mark.parametrize("session", ["../../x", "a/b", "\x00", "x" * 500, "ü"])
def test_an_odd_session_id_names_a_file_of_its_own(session: str) -> None:
    engagement.engage(session, "test")
    assert engagement.is_engaged(session)
    assert [path.parent.name for path in state_home().rglob("*.json")] == [MARKERS]


def test_a_marker_older_than_a_month_goes_when_another_is_made() -> None:
    engagement.engage("old", "test")
    (marker,) = (state_home() / MARKERS).iterdir()
    os.utime(marker, (1, 1))
    engagement.engage("new", "test")
    assert not engagement.is_engaged("old")


def test_what_a_session_remembers_survives_being_engaged_again() -> None:
    engagement.engage(SESSION, "test")
    engagement.remember(SESSION, reports=["a"])
    engagement.engage(SESSION, "again")
    assert engagement.memory_of(SESSION)["reports"] == ["a"]
    assert engagement.memory_of(SESSION)["reason"] == "again"


@pytest.mark.parametrize(
    ("payload", "environment", "session"),
    [
        ({"session_id": "a"}, {"CLAUDE_CODE_SESSION_ID": "b"}, "a"),
        ({}, {"CLAUDE_CODE_SESSION_ID": "b"}, "b"),
        ({"session_id": 3}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_event_s_own_session_comes_first(
    payload: dict[str, Any], environment: dict[str, str], session: str | None
) -> None:
    assert engagement.session_of(payload, environment) == session


# --- approval ----------------------------------------------------------------------------------------


def test_a_plan_that_waits_is_not_approved(waiting: dict[str, Any]) -> None:
    assert engagement.plan_of(SESSION) == waiting
    assert engagement.approved_plan(SESSION) is None


def test_an_approved_plan_stays_approved_when_its_run_has_begun(
    begun: Path, approved: dict[str, Any]
) -> None:
    assert engagement.approved_plan(SESSION) == approved


def test_a_newer_plan_of_the_session_takes_the_approval_away(approved: dict[str, Any]) -> None:
    approval.save_pending({**approved, "settings": {"epochs": 9}}, SESSION)
    assert engagement.approved_plan(SESSION) is None


@pytest.mark.parametrize("damage", ["edited", "gone", "refused", "moved"])
def test_an_approval_that_does_not_hold_is_none(approved: dict[str, Any], damage: str) -> None:
    (record,) = (state_home() / "approvals").rglob("*.json")
    if damage == "edited":
        record.write_text(record.read_text().replace("user-words", "user words"))
    elif damage == "gone":
        record.unlink()
    elif damage == "refused":
        approval.decide(approved, "refused", "user-words", SESSION)
    else:
        workspace = Path(approved["workspace"])
        shutil.move(workspace, workspace.with_name("other"))
    assert engagement.approved_plan(SESSION) is None


def test_another_session_joins_an_approved_run_by_its_folder(begun: Path) -> None:
    assert engagement.approved_plan("s-2") is None
    assert engagement.join("s-2", str(begun))
    assert engagement.approved_plan("s-2") is not None


def test_another_session_joins_the_newest_run_of_a_workspace(begun: Path) -> None:
    assert engagement.join("s-2", str(begun.parent.parent))


def test_a_workspace_whose_newer_plan_waits_is_not_joined(begun: Path, approved: dict[str, Any]) -> None:
    approval.save_pending({**approved, "run_id": "run_20260102_030406"}, "s-3")
    assert not engagement.join("s-2", approved["workspace"])


def test_a_run_whose_plan_was_edited_is_not_joined(begun: Path) -> None:
    plan = json.loads((begun / "plan.json").read_text())
    (begun / "plan.json").write_text(json.dumps({**plan, "settings": {"epochs": 99}}))
    assert not engagement.join("s-2", str(begun))


def test_a_folder_without_a_plan_is_not_joined(tmp_path: Path) -> None:
    assert not engagement.join("s-2", str(tmp_path))


@pytest.mark.parametrize(
    ("state", "unfinished"),
    [
        ({"status": "in_progress", "stop_reason": None}, True),
        ({"status": "failed", "stop_reason": None}, True),
        ({"status": "complete", "stop_reason": None}, False),
        ({"status": "failed", "stop_reason": "hard_stop"}, False),
        (None, False),
    ],
)
def test_a_run_has_work_left_until_it_stopped_or_is_complete(
    begun: Path, approved: dict[str, Any], state: dict[str, Any] | None, unfinished: bool
) -> None:
    (begun / "deft_state.json").unlink()
    if state is not None:
        (begun / "deft_state.json").write_text(json.dumps(state))
    assert (engagement.unfinished_state(approved) is not None) is unfinished
