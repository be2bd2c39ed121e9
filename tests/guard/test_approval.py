"""Plans that wait, the user's word on them, and records that nobody else can write."""

from __future__ import annotations

import ast
import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from deft import files
from deft.guard import approval
from deft.workspace import layout

SOURCE = Path(approval.__file__).parents[2]

# --- hearing the user --------------------------------------------------------------------------------


@pytest.fixture
def plan(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "ws").mkdir()
    return {"run_id": "run_20260102_030405", "workspace": str(tmp_path / "ws"), "settings": {"epochs": 5}}


def test_the_user_s_go_approves_the_plan_that_waits_in_this_session(plan: dict[str, Any]) -> None:
    approval.save_pending(plan, "s-1")
    record = approval.hear("Go!", "s-1")
    assert record is not None
    assert (record["decision"], record["by"], record["session_id"]) == ("approved", "user-words", "s-1")
    approval.check(approval.decision_on(plan), plan)


@pytest.mark.parametrize("session", ["s-2", "unknown"])
def test_a_go_in_another_session_approves_nothing(plan: dict[str, Any], session: str) -> None:
    approval.save_pending(plan, "s-1")
    assert approval.hear("go", session) is None
    assert approval.decision_on(plan) is None


def test_a_go_before_there_is_a_plan_approves_nothing_later(plan: dict[str, Any]) -> None:
    assert approval.hear("just run it", "s-1") is None
    approval.save_pending(plan, "s-1")
    assert approval.decision_on(plan) is None


def test_an_old_word_does_not_approve_a_changed_plan(plan: dict[str, Any]) -> None:
    approval.save_pending(plan, "s-1")
    approval.hear("go", "s-1")
    changed = {**plan, "settings": {"epochs": 500}}
    approval.save_pending(changed, "s-1")
    with pytest.raises(approval.PlanChanged):
        approval.check(approval.decision_on(changed), changed)
    assert approval.hear("go", "s-1") is not None
    approval.check(approval.decision_on(changed), changed)


def test_a_word_meant_for_one_plan_does_not_reach_the_newer_one_of_another_session(
    plan: dict[str, Any],
) -> None:
    approval.save_pending(plan, "s-1")
    approval.save_pending({**plan, "settings": {"epochs": 500}}, "s-2")
    assert approval.hear("go", "s-1") is None


def test_a_second_go_changes_nothing(plan: dict[str, Any]) -> None:
    approval.save_pending(plan, "s-1")
    first = approval.hear("go", "s-1")
    assert approval.hear("yes", "s-1") is None
    assert approval.decision_on(plan) == first


def test_a_refusal_ends_the_waiting(plan: dict[str, Any]) -> None:
    approval.save_pending(plan, "s-1")
    record = approval.hear("no, thanks", "s-1")
    assert record is not None
    assert record["decision"] == "refused"
    assert approval.hear("go", "s-1") is None
    with pytest.raises(approval.ApprovalFault, match="refused"):
        approval.check(approval.decision_on(plan), plan)


def test_talk_decides_nothing(plan: dict[str, Any]) -> None:
    approval.save_pending(plan, "s-1")
    assert approval.hear("yes, but 5 epochs", "s-1") is None
    assert approval.plan_of_session("s-1") == plan


def test_a_workspace_that_is_gone_can_neither_be_approved_nor_run(plan: dict[str, Any]) -> None:
    approval.save_pending(plan, "s-1")
    record = approval.decide(plan, "approved", "user-words")
    Path(plan["workspace"]).rmdir()
    assert approval.hear("go", "s-1") is None
    with pytest.raises(approval.ApprovalFault, match="gone"):
        approval.check(record, plan)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 200, None])
def test_a_session_id_that_is_no_name_is_a_fault(plan: dict[str, Any], name: Any) -> None:
    with pytest.raises(approval.ApprovalFault, match="not a usable name"):
        approval.hear("go", name)


# --- key, hash, environment --------------------------------------------------------------------------


def test_two_first_users_of_the_key_sign_alike() -> None:
    records: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: records.append(approval.signed({"a": 1}))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({record["hmac"] for record in records}) == 1
    key = Path(approval.state_home()) / "key"
    assert (key.stat().st_mode & 0o777, key.stat().st_size) == (0o600, 32)
    assert [path.name for path in key.parent.iterdir()] == ["key"]


def test_a_key_that_is_a_link_or_cut_short_signs_nothing(tmp_path: Path) -> None:
    approval.signed({})
    key = Path(approval.state_home()) / "key"
    key.write_bytes(b"short")
    with pytest.raises(approval.ApprovalFault, match="damaged"):
        approval.signed({})
    key.unlink()
    (tmp_path / "mine").write_bytes(b"x" * 32)
    key.symlink_to(tmp_path / "mine")
    assert not approval.is_signed({"hmac": "0" * 64})


def test_the_hash_of_a_plan_is_the_package_s(plan: dict[str, Any]) -> None:
    record = {**plan, "ü": [1, 2.5, None, True, "µ\n"], "nested": {"b": 1, "a": {}}}
    assert approval.plan_sha256(record) == files.sha256_of_record(record)
    assert Path(approval.state_home()) == layout.state_home()


def test_the_default_state_folder_is_the_package_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    assert Path(approval.state_home()) == layout.state_home()


@pytest.mark.parametrize("module", ["approval", "words", "agent"])
def test_the_guard_needs_python_3_8_and_its_standard_library_alone(module: str) -> None:
    source = (SOURCE / "deft" / "guard" / f"{module}.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    own = {name for name in imported if name.startswith("deft")}
    assert own <= {"deft.guard.words"}
    assert {name.split(".")[0] for name in imported - own} <= sys.stdlib_module_names


def test_a_damaged_record_is_no_record(tmp_path: Path, plan: dict[str, Any]) -> None:
    path = tmp_path / "r.json"
    for content in (b"", b"{", b"[]", b"\xff", b'"x"'):
        path.write_bytes(content)
        assert approval.read_record(str(path)) is None
    approval.write_record(str(path), plan)
    assert json.loads(path.read_text()) == plan
