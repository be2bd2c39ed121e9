"""Carry out tool calls in a child process of this machine: no container, no GPU, no key, no download."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from deft.errors import StageFailed
from deft.files import write_json
from deft.platforms.base import OWN_ENCODER, Check, Platform, ToolCall
from deft.platforms.containers import shortened
from deft.progress import Progress, Task, parse_progress_line

PACKAGES = ("torch", "transformers", "safetensors")
STOP_GRACE_SECONDS = 25.0
PR_SET_PDEATHSIG = 1


class EmbeddedPlatform(Platform):
    """Run `deft.tools` as one child process for all calls of a stage, so torch is loaded once."""

    name: ClassVar[str] = "embedded"
    default_encoder: ClassVar[str] = OWN_ENCODER

    def checks(self, workspace: Path) -> list[Check]:
        """Look for the packages of the engine and for room on the disk."""
        return [*_package_checks(), disk_check(workspace)]

    def probe_precision(self) -> str | None:
        """Time both precisions in a child for a second; None where the engine is not installed."""
        command = [sys.executable, "-m", "deft.tools.visual_changenet.precision"]
        answer = subprocess.run(
            command, capture_output=True, text=True, env=_environment(), timeout=300, check=False
        )
        return answer.stdout.split()[-1] if answer.returncode == 0 and answer.stdout else None

    def run(self, calls: Sequence[ToolCall], progress: Progress) -> None:
        """Run the calls in order in one child; the child never outlives this process."""
        for call in calls:
            call.log.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="deft-") as folder:
            batch = write_json(Path(folder) / "calls.json", [batch_record(call) for call in calls])
            child = _start(batch)
            try:
                output = _follow(child, calls, progress)
            finally:
                _end(child)
        if child.returncode != 0:
            raise _failure(calls, child.returncode, output)


def batch_record(call: ToolCall) -> dict[str, object]:
    """Return a call as `python -m deft.tools --batch` reads it."""
    return {
        "category": call.category,
        "action": call.action,
        "spec": str(call.spec) if call.spec else None,
        "overrides": {key: _plain(value) for key, value in call.overrides.items()},
        "log": str(call.log),
    }


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _environment() -> dict[str, str]:
    source = str(Path(__file__).resolve().parents[2])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    more = {"DEFT_PROGRESS": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(paths)}
    return {**os.environ, **more}


def _start(batch: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "deft.tools", "--batch", str(batch)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=_environment(),
        preexec_fn=die_with_parent,
    )


def die_with_parent() -> None:
    """Ask the kernel, in a child that was just forked, to kill it with its parent: none is left behind."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _follow(child: subprocess.Popen[str], calls: Sequence[ToolCall], progress: Progress) -> list[str]:
    """Turn the child's PROGRESS lines into bars; return the last other lines."""
    assert child.stdout is not None
    title = calls[0].title or calls[0].name
    kept: list[str] = []
    with progress.task(title, total=None) as task:
        for line in child.stdout:
            if not _advance(task, line):
                kept = [*kept[-49:], line.rstrip("\n")]
    child.wait()
    return kept


def _advance(task: Task, line: str) -> bool:
    step = parse_progress_line(line)
    if step is None:
        return False
    task.reach(step.done, step.total)
    return True


def _end(child: subprocess.Popen[str]) -> None:
    """Stop a child that still runs: first ask (it writes a checkpoint), then insist."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(timeout=STOP_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.stdout:
        child.stdout.close()


def _failure(calls: Sequence[ToolCall], code: int, output: list[str]) -> StageFailed:
    failed = next((call for call in calls if not _passed(call.log)), calls[-1])
    tail = _tail(failed.log) or output[-8:]
    reason = "\n  ".join(tail)
    return StageFailed(f"{failed.name} ended with code {code}\n  {reason}", hint=f"read {failed.log}")


def _passed(log: Path) -> bool:
    """Read the last status alone: an earlier attempt's stands above it in the same log."""
    status = [line for line in _tail(log, lines=50) if line.startswith("Execution status:")]
    return bool(status) and status[-1].endswith("PASS")


def _tail(log: Path, lines: int = 8) -> list[str]:
    if not log.is_file():
        return []
    text = log.read_text(encoding="utf-8", errors="replace")
    return [shortened(line) for line in text.splitlines() if line.strip()][-lines:]


def _package_checks() -> list[Check]:
    return [
        Check(
            f"package {name}",
            importlib.util.find_spec(name) is not None,
            "found" if importlib.util.find_spec(name) else "not installed",
            "bin/deft builds an environment that holds it; or pip install 'deft-aoi[embedded]'",
        )
        for name in PACKAGES
    ]


def disk_check(workspace: Path, wanted_bytes: int = 2 * 1024**3) -> Check:
    free = shutil.disk_usage(workspace).free
    detail = f"{free / 1e9:.1f} GB free"
    return Check("disk", free >= wanted_bytes, detail, "free at least 2 GB, or deft clean")
