"""Look at a machine before anybody plans a run on it: what a platform needs, and what else is there."""

from __future__ import annotations

import os
import platform as machine
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deft import files
from deft.guard.session import credentials_present
from deft.platforms.base import Check, Platform
from deft.workspace.layout import state_home

OLDEST_PYTHON = (3, 11)
PATIENCE_SECONDS = 10
SCHEDULERS = {"sbatch": "a Slurm login node", "kubectl": "a Kubernetes client"}


def needed(platform: Platform, workspace: Path) -> list[Check]:
    """Return what must hold for a run on this platform."""
    return [_python(), *platform.checks(workspace), _state_folder()]


def present(workspace: Path) -> list[Check]:
    """Return what other platforms would use; nothing of it is needed by the embedded one."""
    return [_gpu(), _docker(), *_schedulers(), _credentials(workspace)]


def speed(platform: Platform) -> Check:
    """Measure for some seconds in which precision the engine trains faster here, and count its threads."""
    precision = platform.probe_precision()
    found = [f"{len(os.sched_getaffinity(0))} threads"]
    found += [f"precision {precision}"] if precision else []
    cure = "deft doctor names the package that is missing"
    return Check("engine", precision is not None, ", ".join(found), cure)


def _python() -> Check:
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return Check(
        "python",
        sys.version_info >= OLDEST_PYTHON,
        machine.python_version(),
        f"install Python {oldest} or newer and name it: DEFT_PYTHON=/path/to/python bin/deft doctor",
    )


def _state_folder() -> Check:
    """Write and remove a file where plans and approvals are kept."""
    folder = state_home()
    cure = f"make {folder} writable for you, or set XDG_STATE_HOME to a folder that is"
    try:
        files.write_text(folder / f".doctor-{os.getpid()}", "", mode=0o600).unlink()
    except OSError as error:
        return Check("state folder", False, f"{folder}: {error.strerror}", cure)
    return Check("state folder", True, str(folder))


def _gpu() -> Check:
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    listed = _answer(query)
    cure = "only needed by containers and for speed: install the NVIDIA driver"
    return Check("GPU", bool(listed), "; ".join((listed or "none").splitlines()), cure)


def _docker() -> Check:
    if shutil.which("docker") is None:
        return Check("docker", False, "not installed", "only needed by --platform docker: install Docker")
    version = _answer(["docker", "info", "--format", "{{.ServerVersion}}"])
    cure = "start the daemon (systemctl start docker) and let yourself use it (group docker)"
    return Check("docker", bool(version), f"daemon {version}" if version else "daemon does not answer", cure)


def _schedulers() -> Iterator[Check]:
    for tool, place in SCHEDULERS.items():
        found = shutil.which(tool)
        yield Check(tool, found is not None, found or "not on the PATH", f"only needed on {place}")


def _credentials(workspace: Path) -> Check:
    """Name the credentials that are set; their values are never looked at."""
    names = credentials_present(os.environ, [workspace])
    cure = "only needed by containers and gated weights: deft list-tao-platforms --platform docker"
    return Check("credentials", bool(names), ", ".join(names) or "none set", cure)


def _answer(command: list[str]) -> str:
    """Return what a tool says, nothing when it is absent, fails or does not answer in time."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
