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
        ".claude/commands/x.md",
        ".claude.json",
        ".mcp.json",
        ".git/hooks/pre-commit",
        ".git/config",
        ".git/info/attributes",
        ".git/modules/x/config",
        ".gitconfig",
        ".config/git/config",
        ".pre-commit-config.yaml",
        ".husky/pre-commit",
        ".envrc",
        ".ssh/authorized_keys",
        ".kube/config",
        ".docker/config.json",
        ".venv/lib/python3.11/site-packages/sitecustomize.py",
        "bare.git/HEAD",
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
        ".claude/plans/x.md",
        ".claude/projects/x/memory/notes.md",
        ".git/COMMIT_EDITMSG",
        "config",
        "notes.md",
        "src/train.py",
        "kpi/testing_set.csv",
        "results/other.txt",
    ],
)
def test_prose_and_files_of_one_s_own_are_not(tmp_path: Path, name: str) -> None:
    assert not guarded(tmp_path / name)


@pytest.mark.parametrize("path", ["/etc/ld.so.preload", "/usr/bin/env", "/usr/local/bin/new", "/bin/sh"])
def test_what_belongs_to_the_system_is_guarded(path: str) -> None:
    assert guarded(Path(path))


def test_the_private_environment_of_deft_is_guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert guarded(tmp_path / "deft" / "env-1" / "bin" / "python")
    assert not guarded(tmp_path / "other" / "x.py")


def test_a_program_and_whatever_comes_into_a_folder_of_programs_are_guarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin")
    assert guarded(tmp_path / "bin" / "ls")
    for name, mode in (("tool", 0o755), ("notes.md", 0o755), ("plain.sh", 0o644)):
        (tmp_path / name).touch(mode)
    assert [name for name in ("tool", "notes.md", "plain.sh") if guarded(tmp_path / name)] == ["tool"]


def test_the_settings_of_a_bare_repository_are_guarded(tmp_path: Path) -> None:
    assert not guarded(tmp_path / "config")
    (tmp_path / "HEAD").touch()
    assert guarded(tmp_path / "config")


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
