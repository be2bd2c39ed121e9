"""`deft doctor --hooks` as a user calls it, with the real client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from client.real_client import REPOSITORY

pytestmark = pytest.mark.whole


def doctor(client: Path, home: Path) -> tuple[int, dict[str, dict[str, object]]]:
    """Return the exit code and the checks by name; the client is found on the PATH."""
    interpreters = Path(sys.base_prefix) / "bin"
    found = {"PATH": f"{client.parent}:{interpreters}:/usr/local/bin:/usr/bin:/bin", "HOME": str(home)}
    environment = {**found, "DEFT_PYTHON": sys.executable, "ANTHROPIC_API_KEY": "the-users-own"}
    command = [str(REPOSITORY / "bin" / "deft"), "doctor", "--hooks"]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=240)
    assert "the-users-own" not in done.stdout + done.stderr
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_all_hooks_fire_in_the_real_client(client_program: Path, tmp_path: Path) -> None:
    code, checks = doctor(client_program, tmp_path)
    assert [check for check in checks.values() if not check["passed"]] == []
    assert {"client", "plugin", "SessionStart", "UserPromptSubmit", "PreToolUse", "Stop", "gate"} <= set(
        checks
    )
    assert code == 0


def test_the_home_of_the_user_is_not_touched(client_program: Path, tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    settings = tmp_path / ".claude" / "settings.json"
    settings.write_text('{"disableAllHooks": true}', encoding="utf-8")
    doctor(client_program, tmp_path)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [os.path.relpath(path, tmp_path) for path in kept] == [".claude/settings.json"]
