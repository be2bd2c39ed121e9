"""The whole loop with a real docker daemon: preflight, the gate, a detached runner, the audit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deft import files
from deft.platforms.base import ToolCall
from deft.platforms.embedded import EmbeddedPlatform
from deft.run.gate import approve, remember_drawn
from deft.workspace.layout import RunFolder, Workspace
from dockerd import Daemon
from loop_fixtures import SILENT
from tiny_workspace import make_workspace

pytestmark = pytest.mark.whole
WORDS = ("--platform", "docker", "--max-iterations", 1, "--min-similarity", "none", "--top-k-per-target", 2)


@pytest.fixture
def workspace(tmp_path: Path, docker_host: Daemon, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace for TAO's own backbone, with weights on this machine and both images pinned."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(docker_host.folder / "cache"))
    made = make_workspace(tmp_path / "line 4")
    spec = files.read_yaml(made.baseline_spec)
    spec["model"]["backbone"]["type"] = "c_radio_v2_vit_base_patch16_224"
    files.write_yaml(made.baseline_spec, spec)
    (made.backbone / "siglip").mkdir(parents=True)
    files.write_text(made.backbone / "siglip" / "config.json", "{}")
    write_settings(made, docker_host)
    return made


def write_settings(workspace: Workspace, daemon: Daemon, **more: Any) -> None:
    images = {"train_image": daemon.image, "data_services_image": daemon.image}
    small = {"shm_size": "64m", "tmp_size": "64m", "gpus": 0}
    files.write_yaml(workspace.platform_settings, {"docker": {**images, **small, **more}})


def planned(workspace: Workspace, say: Any, *more: object) -> None:
    words = (*WORDS, "--encoder-path", workspace.backbone / "siglip", "--no-spot-check", *more)
    said = say("preflight", workspace.root, *words)
    assert said.code == 0, said.out
    remember_drawn(workspace)
    approve(workspace, by="demo")


def test_the_loop_runs_in_containers_and_its_gap_analysis_is_the_engines_to_the_byte(
    workspace: Workspace, docker_host: Daemon, say: Any
) -> None:
    write_settings(workspace, docker_host, gap_analysis="container")
    planned(workspace, say)
    deft("run", workspace.root)
    (run,) = workspace.runs()
    assert files.read_json(run.state)["status"] == "complete"
    assert say("audit", run.root).code == 0
    assert docker_host.ask("ps", "--all", "--quiet").stdout == ""
    assert same_gaps(run) == 5


def deft(*words: object) -> str:
    """Call `deft WORDS` as a shell does, without an end to its waiting."""
    command = [sys.executable, "-m", "deft", *map(str, words)]
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def same_gaps(run: RunFolder) -> int:
    """Redo the baseline's gap analysis on the embedded engine; return how many of its files are equal."""
    (rca,) = run.phase("baseline").rca_results.iterdir()
    again = rca.parent / "again"
    names = ("kpi_gaps.parquet", "threshold.txt", "metrics.json", "weak_samples_breakdown.txt")
    call = ToolCall(
        category="gap_analysis",
        action="vcn_aoi",
        spec=rca / "vcn_aoi_spec.yaml",
        overrides={"results_dir": again},
        reads=(),
        writes=again,
        log=again / "log",
    )
    EmbeddedPlatform().run([call], SILENT)
    assert "deft: container" in (rca / "gap_analysis.log").read_text()
    return sum(files.sha256_of_file(rca / name) == files.sha256_of_file(again / name) for name in names) + 1
