"""Tool calls in a child process: their logs, their failures, their end."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from deft import files
from deft.errors import StageFailed
from deft.platforms.base import ToolCall
from deft.platforms.embedded import EmbeddedPlatform
from deft.progress import NullProgress


def gap_call(
    folder: Path, scores: str = "label,siamese_score,input_path,object_name\nPASS,0.1,a,b\nng,0.9,a,c\n"
):
    inference = folder / "inference"
    files.write_text(inference / "inference.csv", scores)
    config = files.write_yaml(
        folder / "train.yaml", {"dataset": {"classify": {"input_map": {"L": 0}, "image_ext": ".jpg"}}}
    )
    spec = files.write_yaml(folder / "spec.yaml", {"top_k_per_label": 5})
    return ToolCall(
        category="gap_analysis",
        action="vcn_aoi",
        spec=spec,
        overrides={
            "inference_results_dir": inference,
            "train_config": config,
            "results_dir": folder / "out put",
        },
        reads=(folder,),
        writes=folder / "out put",
        log=folder / "gap.log",
    )


def test_a_call_runs_in_a_child_and_leaves_its_log_and_files(tmp_path):
    EmbeddedPlatform().run([gap_call(tmp_path)], NullProgress())
    assert (tmp_path / "out put" / "kpi_gaps.parquet").is_file()
    assert (tmp_path / "gap.log").read_text().endswith("Execution status: PASS\n")


def test_the_end_of_the_failing_calls_log_is_the_message(tmp_path):
    good, bad = gap_call(tmp_path / "good"), gap_call(tmp_path / "bad", "label,siamese_score\n")
    with pytest.raises(StageFailed, match="contains no rows") as failure:
        EmbeddedPlatform().run([good, bad], NullProgress())
    assert str(bad.log) in failure.value.hint


def test_an_earlier_success_in_the_same_log_does_not_hide_a_failure(tmp_path):
    call = gap_call(tmp_path, "label,siamese_score\n")
    files.write_text(call.log, "Execution status: PASS\n")
    with pytest.raises(StageFailed, match="gap_analysis vcn_aoi ended with code 1"):
        EmbeddedPlatform().run([call], NullProgress())


class Interrupting:
    """Progress that is interrupted as soon as the child speaks."""

    @contextmanager
    def task(self, name, total=None, unit="step"):
        raise KeyboardInterrupt
        yield


def test_an_interrupted_call_leaves_no_child_behind(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        EmbeddedPlatform().run([gap_call(tmp_path)], Interrupting())
    assert _children() == []


def test_a_killed_parent_takes_its_child_along(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import subprocess, sys, time\n"
        "from deft.platforms.embedded import die_with_parent\n"
        "command = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "child = subprocess.Popen(command, preexec_fn=die_with_parent)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    import subprocess

    environment = {**os.environ, "PYTHONPATH": str(Path(files.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert _gone(child)


def test_the_engine_and_the_disk_are_looked_at_before_a_run(tmp_path):
    checks = {check.name: check for check in EmbeddedPlatform().checks(tmp_path)}
    assert checks["package torch"].passed
    assert "GB free" in checks["disk"].detail


def _children() -> list[str]:
    task = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    pids = task.read_text().split()
    return [pid for pid in pids if b"deft.tools" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _gone(pid: int) -> bool:
    """Wait for the kernel to have delivered the kill; the deadline is for a broken machine."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/stat")
        try:
            if status.read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        os.sched_yield()
    return False
