"""Faults of the system under the whole process of the real tools: Python, pyarrow, torch, whatever they call.

`strace` lets one system call of a tool fail, chosen from a recorded trace of the same tool. The run then has
to say what happened, hold nothing half-written under a final name, and end as if nothing had been.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from deft import files
from deft.embedding.pair_network import read_checkpoint
from deft.errors import DeftError
from deft.loop import run_loop
from deft.platforms import embedded
from deft.run.audit import audit_run
from deft.run.log import read
from deft.run.state import fold
from deft.run.transitions import ORDER_BASELINE, ORDER_ITERATION
from deft.workspace.layout import RunFolder, cache_home
from loop_children import watch_stages
from loop_fixtures import SILENT, open_engine_run

WORKS = (
    shutil.which("strace") is not None
    and subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0
)
pytestmark = pytest.mark.skipif(not WORKS, reason="strace is not installed, or may not trace here")

STEPS = [
    *(f"baseline/{name}" for name in ORDER_BASELINE),
    *(f"iter1/{name}" for name in (*ORDER_ITERATION, "loop_stop")),
]
SUFFIXES, FIGURES = (".pth", ".csv", ".parquet", ".txt", ".png"), ("kpi.json", "metrics.json")
TIME = re.compile(r"\d{4}-\d{2}-\d{2}_\d{6}")
TRACED = ("openat", "write", "fsync", "rename")
CALL = re.compile(r"^(\d+)\s+(openat|write|fsync|rename)\((.*)$")
REASON = {
    "ENOSPC": "no space left on (the )?device",
    "EIO": "input/output error",
    "EROFS": "read-only file system",
}


@dataclass(frozen=True)
class Fault:
    """One system call that fails: in which stage, at the how-manieth call of its kind on a file like this."""

    step: str
    call: str
    error: str
    file: str
    which: int = 0


FAULTS = (
    Fault("baseline/train", "openat", "EROFS", "train.log"),
    Fault("baseline/train", "fsync", "EIO", "status.json"),
    Fault("baseline/train", "write", "ENOSPC", "model_epoch_000"),
    Fault("baseline/train", "write", "ENOSPC", "model_epoch_001"),
    Fault("baseline/train", "rename", "EIO", "model_epoch_002"),
    Fault("baseline/train", "write", "ENOSPC", "status.json", -1),
    Fault("baseline/evaluate", "openat", "EROFS", "inference.log", 2),
    Fault("baseline/evaluate", "write", "ENOSPC", "inference.csv"),
    Fault("baseline/evaluate", "rename", "EIO", "inference.csv", 2),
    Fault("baseline/evaluate", "rename", "EROFS", "status.json", -1),
    Fault("baseline/rca", "openat", "EROFS", ".log"),
    Fault("baseline/rca", "write", "ENOSPC", "kpi_gaps.parquet"),
    Fault("baseline/rca", "fsync", "EIO", "kpi_gaps.parquet"),
    Fault("baseline/rca", "rename", "EROFS", "weak_samples_breakdown.txt"),
    Fault("baseline/rca", "write", "ENOSPC", "metrics.json"),
    Fault("iter1/data_mining", "openat", "EROFS", ".log"),
    Fault("iter1/data_mining", "rename", "EROFS", "manifest.json"),
    Fault("iter1/data_mining", "write", "ENOSPC", "00000.parquet"),
    Fault("iter1/data_mining", "fsync", "EIO", "00000.parquet", 1),
    Fault("iter1/data_mining", "rename", "EIO", "source_embeddings.parquet"),
    Fault("iter1/data_mining", "write", "ENOSPC", "target_embeddings.parquet"),
)


class Tracer:
    """Puts strace in front of every tool that the platform starts, to record it or to let one call fail."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.step = folder, ""
        self.struck, self.inject = "", []
        self.start = subprocess.Popen
        patch.setenv("PYTHONHASHSEED", "0")
        patch.setattr(embedded.subprocess, "Popen", self.popen)

    def popen(self, words: list[str], **options: object) -> subprocess.Popen[str]:
        if "deft.tools" not in words:
            return self.start(words, **options)
        return self.start([*self.command(), *words], **options)

    def command(self) -> list[str]:
        common = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-e", "signal=none"]
        what = self.inject if self.step == self.struck else ["-e", f"trace={','.join(TRACED)}"]
        return [*common, "-o", str(self.trace(self.step)), *what]

    def trace(self, step: str) -> Path:
        return self.folder / f"{step.replace('/', '-')}.trace"


def recorded_calls(trace: Path) -> list[tuple[str, str]]:
    """Return the calls of a tool's main thread in order, each as its name and what it was done to."""
    lines = [found for line in trace.read_text().splitlines() if (found := CALL.match(line))]
    main = lines[0][1]
    return [(found[2], found[3]) for found in lines if found[1] == main]


def injection(fault: Fault, trace: Path) -> list[str]:
    """Return strace's options that let the call fail which a recorded trace shows.

    Its number counts among all calls of its kind; how many files a process opens differs by a few from start
    to start, so that opening is told by its path.
    """
    seen: Counter[str] = Counter()
    found = []
    for call, target in recorded_calls(trace):
        seen[call] += 1
        if call == fault.call and concerns(target, fault.file) and (call != "openat" or "O_CREAT" in target):
            found.append((seen[call], target))
    number, target = found[fault.which]
    path = ["-P", target.split('"')[1]] if fault.call == "openat" else []
    when = 1 if path else number
    what = f"inject={fault.call}:error={fault.error}:when={when}"
    return [*path, "-e", f"trace={fault.call}", "-e", what]


def concerns(target: str, name: str) -> bool:
    return re.search(rf"/[^/\"<>]*{re.escape(name)}[^/\"<>]*(\"|>)", target) is not None


class Recorded:
    """An undisturbed run of the real engine: each stage's tool traced, the run kept as a stage found it."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.run = open_engine_run(root)
        self.tracer = Tracer(root, patch)
        self.found, self.traces = root / "found", root / "traces"
        self.traces.mkdir()
        watch_stages(patch, self.tracer)
        self._keep(STEPS[0])
        run_loop(self.run, SILENT, after_stage=self._after_stage)
        self.undisturbed = contents(self.run)

    def _after_stage(self, state: dict[str, Any]) -> None:
        step = self.tracer.step
        if self.tracer.trace(step).exists():
            self.tracer.trace(step).rename(self.recorded(step))
        if step != STEPS[-1]:
            self._keep(STEPS[STEPS.index(step) + 1])

    def _keep(self, step: str) -> None:
        shutil.copytree(self.run.root, self.found / step, symlinks=True)
        forget_what_was_embedded()

    def recorded(self, step: str) -> Path:
        return self.traces / f"{step.replace('/', '-')}"

    def go_back_before(self, step: str) -> None:
        shutil.rmtree(self.run.root)
        shutil.copytree(self.found / step, self.run.root, symlinks=True)
        forget_what_was_embedded()

    def strike(self, fault: Fault) -> DeftError:
        """Let a stage's tool meet a fault; return what the run says, after a look at what it left."""
        self.go_back_before(fault.step)
        self.tracer.struck, self.tracer.inject = fault.step, injection(fault, self.recorded(fault.step))
        with pytest.raises(DeftError) as caught:
            run_loop(self.run, SILENT)
        self.tracer.struck = ""
        struck = [
            line for line in self.tracer.trace(fault.step).read_text().splitlines() if "INJECTED" in line
        ]
        assert len(struck) == 1, struck
        assert concerns(struck[0], fault.file), struck
        return caught.value

    def resume(self, step: str) -> None:
        """Go on until the stage that failed is done."""

        def stop(state: dict[str, Any]) -> None:
            assert self.tracer.step == step
            raise Done

        with pytest.raises(Done):
            run_loop(self.run, SILENT, after_stage=stop)


def forget_what_was_embedded() -> None:
    """Let every stage find an empty cache: what is in it is not written again, and the calls would differ."""
    shutil.rmtree(cache_home().parent, ignore_errors=True)


class Done(BaseException):
    """The stage that failed is done; the rest of the run is the business of other tests."""


def contents(run: RunFolder) -> dict[str, str]:
    """Return the hashes of all tables, models and figures of a run; records of attempts and times differ."""
    return {
        TIME.sub("TIME", path.relative_to(run.root).as_posix()): files.sha256_of_file(path)
        for path in files.files_below(run.root)
        if path.suffix in (".pth", ".csv", ".parquet", ".txt", ".png")
        or path.name in ("kpi.json", "metrics.json")
    }


def require_whole(path: Path) -> None:
    """Read a file that stands under its final name: it must be whole."""
    if path.suffix == ".parquet":
        pyarrow.parquet.ParquetFile(path).read()
    elif path.suffix == ".pth":
        read_checkpoint(path)
    elif path.suffix == ".csv":
        files.read_csv(path)
    elif path.suffix == ".json":
        for line in path.read_text().splitlines() if path.name == "status.json" else [path.read_text()]:
            json.loads(line)
    elif path.suffix == ".yaml":
        files.read_yaml(path)


def check_refusal(run: RunFolder, fault: Fault, said: DeftError) -> None:
    """Look at the words, the log and the disk after a fault."""
    message = said.message()
    assert re.search(REASON[fault.error], message, re.IGNORECASE), message
    assert "Traceback" not in message
    assert said.exit_code in (1, 5)
    if fault.file.startswith("model_epoch") and fault.error == "ENOSPC":
        assert re.search(r"\([\d,]+ bytes needed, [\d,]+ free\)", message), message
    last = read(run.log)[-1]
    assert (f"{last['iter']}/{last['stage']}", last["status"]) == (fault.step, "error")
    assert fold(files.read_json(run.plan), read(run.log)) == files.read_json(run.state)
    left = [path for path in files.files_below(run.root) if not path.name.endswith(".tmp")]
    for path in left:
        assert "Traceback" not in path.read_text(errors="replace") or path.suffix != ".log", path
        require_whole(path)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("steps", "libraries"),
    [
        (("baseline/train", "baseline/evaluate"), "torch"),
        (("baseline/rca", "iter1/data_mining"), "pyarrow and torch"),
    ],
)
def test_a_fault_of_the_system_under_a_real_tool_is_named_and_the_run_goes_on_as_if_it_had_not_been(
    tmp_path, monkeypatch, figure, steps, libraries
):
    recorded = Recorded(tmp_path, monkeypatch)
    faults = [fault for fault in FAULTS if fault.step in steps]
    for fault in faults:
        check_refusal(recorded.run, fault, recorded.strike(fault))
        recorded.resume(fault.step)
        found = contents(recorded.run)
        assert [name for name in found if found[name] != recorded.undisturbed[name]] == [], fault
        assert audit_run(recorded.run)["status"] == "agrees"
    figure(
        f"strace: ENOSPC, EIO, EROFS under {' and '.join(steps)} ({libraries})",
        "each named, nothing half-written, resumed to the same bytes",
        f"{len(faults)} of {len(faults)}",
    )
