"""Stand-ins for the commands of Slurm on the PATH: they note their words and answer what a test put down."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

ENTER = 'for word in "$@"; do case "$word" in --chdir=*) cd "${word#--chdir=}" ;; esac; done'
RUN_IN_FOLDER = ENTER + '\nbash "${@: -1}" >output.log 2>&1; echo 7'
PARTITIONS = (
    "PartitionName=gpu Default=YES State=UP DefaultTime=NONE MaxTime=2-00:00:00 Nodes=a[1-4]\n"
    "PartitionName=old Default=NO State=DOWN MaxTime=UNLIMITED Nodes=b1\n"
)


class FakeSlurm:
    """A folder of commands; `answer` sets what one of them does, `words` says how it was called."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "slurm"
        self.folder.mkdir()
        monkeypatch.setenv("PATH", f"{self.folder}{os.pathsep}{os.environ['PATH']}")
        for name in ("squeue", "scancel", "scontrol", "srun", "sacctmgr"):
            self.answer(name, "true")
        self.answer("sbatch", RUN_IN_FOLDER)

    def answer(self, name: str, behaviour: str) -> None:
        """Let a command do something, in the words of bash."""
        noted = shlex.quote(str(self.folder / f"{name}.words"))
        note = f"printf '%s\\0' \"$@\" >>{noted}; printf '\\n' >>{noted}; env >{noted}.env"
        path = self.folder / name
        path.write_text(f"#!/bin/bash\n{note}\n{behaviour}\n")
        path.chmod(0o755)

    def say(self, name: str, text: str) -> None:
        """Let a command print a text."""
        (self.folder / f"{name}.out").write_text(text)
        self.answer(name, f"cat {shlex.quote(str(self.folder / name))}.out")

    def words(self, name: str) -> list[list[str]]:
        """Return the words of every call of a command so far."""
        path = self.folder / f"{name}.words"
        lines = path.read_text().split("\0\n") if path.is_file() else []
        return [line.split("\0") for line in lines if line]

    def environment(self, name: str) -> str:
        """Return what the last call of a command saw of the environment."""
        return (self.folder / f"{name}.words.env").read_text()


def engine(folder: Path, behaviour: str = "") -> Path:
    """Write an interpreter that stands in for the engine: each call leaves a score and its log; return it.

    `behaviour` are lines of Python that see `call` (category, action, spec, overrides, log) and `folder`.
    """
    program = folder / "engine.py"
    lines = [
        "import json, pathlib, sys",
        "for call in json.loads(pathlib.Path(sys.argv[-1]).read_text()):",
        "    folder = pathlib.Path(call['overrides']['results_dir'])",
        "    folder.mkdir(parents=True, exist_ok=True)",
        "    log = pathlib.Path(call['log'])",
        *(f"    {line}" for line in behaviour.splitlines()),
        "    (folder / 'metrics.json').write_text('{}')",
        "    (folder / 'scores.csv').write_text('0.5\\n')",
        "    with open(log, 'a') as stream: stream.write('Execution status: PASS\\n')",
    ]
    program.write_text("\n".join(lines) + "\n")
    python = folder / "engine"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S {shlex.quote(str(program))} "$@"\n')
    python.chmod(0o755)
    return python
