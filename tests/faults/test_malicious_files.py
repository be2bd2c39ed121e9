"""Whatever file is handed over: none is executed, each is refused by name, in bounded time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from malicious_children import SECONDS
from malicious_files import MARKER

TESTS = Path(__file__).resolve().parents[1]
MEMORY = 300 * 2**20
WANTED = 40


def met(folder: Path) -> list[dict[str, Any]]:
    """Return what came of every file, one process each."""
    done = subprocess.run(
        [sys.executable, str(TESTS / "faults" / "malicious_children.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": f"{TESTS.parent / 'src'}{os.pathsep}{TESTS}"},
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def faults_of(one: dict[str, Any]) -> list[str]:
    """Return what went wrong with one file."""
    faults = []
    if not one["ended"].startswith("refused: "):
        faults.append(one["ended"])
    elif one["name"] not in one["ended"]:
        faults.append(f"does not name the file: {one['ended']}")
    if one["seconds"] > SECONDS:
        faults.append(f"took {one['seconds']:.1f} s")
    if one["memory"] > MEMORY:
        faults.append(f"took {one['memory'] / 2**20:.0f} MiB")
    return [f"{one['what']}: {fault}" for fault in faults]


def test_every_malicious_file_is_refused_by_name_and_none_is_executed(
    tmp_path: Path, figure: Callable[[str, str, str], None]
) -> None:
    found = met(tmp_path)
    executed = [*tmp_path.rglob(MARKER), *tmp_path.parent.glob(MARKER)]
    assert [fault for one in found for fault in faults_of(one)] == []
    assert executed == []
    assert len(found) >= WANTED
    most, longest = max(one["memory"] for one in found), max(one["seconds"] for one in found)
    figure(
        "malicious files: checkpoints, YAML, archives, images, tables",
        f"{WANTED}; none executed, each refused by name within {SECONDS} s and 300 MiB",
        f"{len(found)}; {len(executed)} executed, all refused; at most {longest:.1f} s, {most >> 20} MiB",
    )
