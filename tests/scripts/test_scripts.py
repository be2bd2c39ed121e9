"""A script is its verb, from any directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).resolve().parents[2] / "scripts").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_answers_help_as_its_verb(script: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(script), "--help"],
        cwd=tmp_path,
        env={
            "HOME": str(tmp_path),
            "DEFT_PYTHON": sys.executable,
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: deft {script.stem.replace('_', '-')} ")
