"""Which files are written by deft alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deft.guard import approval
from deft.guard.places import why_guarded

RUN = "results/run_20260102_030405"
STEP = "out/rca_results/2026-01-02_030405"


def guarded(path: Path, plan: dict[str, Any] | None = None, plugin: str = "/plugin") -> bool:
    return why_guarded(str(path), plugin, plan) is not None


@pytest.mark.parametrize(
    "name",
    [
        f"{RUN}/deft_state.json",
        f"{RUN}/loop_log.jsonl",
        f"{RUN}/plan.json",
        f"{RUN}/approval.json",
        f"{RUN}/baseline/inference/latest/inference.csv",
        f"{RUN}/iter1/mining_filter/mining_pool.csv",
        f"{RUN}/iter1/mining_filter/facts.json",
        f"{RUN}/DEFT_Loop_Report.html",
        RUN,
        f"{STEP}/kpi_gaps.parquet",
        f"{STEP}/verdicts.json",
        "elsewhere/deft_state.json",
        "elsewhere/approval.json",
        ".claude/settings.json",
        ".claude/settings.local.json",
        ".claude/hooks/x.py",
        ".claude/plugins/x/hooks.json",
        ".git/hooks/pre-commit",
        ".git/config",
        ".bashrc",
        ".zshenv",
        ".profile",
    ],
)
def test_records_results_and_what_steers_commands_are_guarded(tmp_path: Path, name: str) -> None:
    assert guarded(tmp_path / name)


@pytest.mark.parametrize(
    "name",
    [
        f"{RUN}/baseline/rca_results/2026-01-02_030405/RCA_Report.md",
        f"{RUN}/iter1/mining_filter/Mining_Report.md",
        f"{RUN}/iter1_summary.md",
        f"{RUN}/baseline_summary.md",
        f"{STEP}/RCA_Report.md",
        "notes.md",
        "src/train.py",
        "kpi/testing_set.csv",
        "results/other.txt",
    ],
)
def test_prose_and_files_of_one_s_own_are_not(tmp_path: Path, name: str) -> None:
    assert not guarded(tmp_path / name)


def test_plans_approvals_and_the_key_are_guarded() -> None:
    assert guarded(Path(approval.state_home()) / "approvals" / "x.json")
    assert guarded(Path(approval.state_home()))


def test_the_plugin_s_own_files_are_guarded(tmp_path: Path) -> None:
    assert guarded(tmp_path / "hooks" / "stop.py", plugin=str(tmp_path))
    assert not guarded(tmp_path.parent / "other", plugin=str(tmp_path))


@pytest.mark.parametrize(
    "name", ["specs/baseline_spec.yaml", "train/base/training_set.csv", "kpi/images/a.jpg", ".env"]
)
def test_the_inputs_of_an_approved_plan_are_guarded_while_it_has_work_left(tmp_path: Path, name: str) -> None:
    assert guarded(tmp_path / name, {"workspace": str(tmp_path)})
    assert not guarded(tmp_path / "notes" / name, {"workspace": str(tmp_path)})


def test_a_link_into_a_run_is_the_run(tmp_path: Path) -> None:
    (tmp_path / RUN).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / RUN)
    assert guarded(tmp_path / "link" / "x.csv")
    assert guarded(tmp_path / "a" / ".." / RUN / "x.csv")
