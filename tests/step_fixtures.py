"""Steps on the stub platform, through the command line: plan, approve as a person would, repeat."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deft import files
from deft.cli.main import main
from deft.errors import StageFailed
from deft.guard import approval
from deft.platforms.base import ToolCall
from deft.progress import Progress
from deft.run.gate import pending_for
from deft.workspace.layout import Workspace
from stub_platform import StubPlatform, _infer
from tiny_workspace import make_workspace

MODEL = {"known": {"PASS": 20, "bridge": 1}, "epoch": 1}


class StepPlatform(StubPlatform):
    """The stub, with `visual_changenet evaluate`; a gap analysis that fails does so as on a platform."""

    def run(self, calls: Sequence[ToolCall], progress: Progress) -> None:
        for call in calls:
            if call.name == "visual_changenet evaluate":
                self.calls.append(call)
                files.write_text(call.writes / "status.json", "{}\n")
                continue
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    super().run([call], progress)
            except AssertionError:
                raise StageFailed(f"{call.name} ended with code 1") from None


def use_step_platform(monkeypatch: pytest.MonkeyPatch) -> StepPlatform:
    """Let every verb of this process run on the stub."""
    stub = StepPlatform()
    monkeypatch.setattr("deft.platforms.registry.platform_named", lambda name, settings=None: stub)
    return stub


def say_go(place: Path) -> dict[str, Any]:
    """Approve what waits for a folder, as the user's own words do, and return the plan."""
    plan = pending_for(Workspace.at(place))
    assert plan is not None
    approval.decide(plan, "approved", "user-words", "s-1")
    return plan


def run_deft(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any]]:
    """Run `deft WORDS…`; return its exit code and its JSON record."""
    code = main([str(word) for word in words])
    return code, json.loads(capsys.readouterr().out)


def agreed(capsys: pytest.CaptureFixture[str], place: Path, *words: object) -> dict[str, Any]:
    """Run a step to its plan, approve it, run it, and return its record."""
    code, record = run_deft(capsys, *words)
    assert code == 4, record
    say_go(place)
    code, record = run_deft(capsys, *words)
    assert code == 0, record
    return record


def make_experiment(root: Path) -> tuple[Workspace, Path]:
    """Return a workspace and an experiment folder outside its results, with scores of the KPI table."""
    workspace = make_workspace(root / "workspace")
    experiment = root / "experiment"
    checkpoint = files.write_json(experiment / "model.pth", MODEL)
    prefix = "dataset.classify.infer_dataset"
    results = experiment / "inference"
    results.mkdir()
    _infer(
        ToolCall(
            "visual_changenet",
            "inference",
            workspace.baseline_spec,
            {
                "inference.checkpoint": checkpoint,
                "inference.results_dir": results,
                f"{prefix}.csv_path": workspace.kpi_table,
                f"{prefix}.images_dir": workspace.images,
            },
            (workspace.root,),
            results,
            results / "inference.log",
        )
    )
    return workspace, experiment
