"""Start each hook of the plugin the way a client does, in a home of its own: does it answer, and in time?"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deft.platforms.base import Check

PLUGIN_ROOT = Path(__file__).resolve().parents[3]
OLDEST_PYTHON = (3, 8)
PASSED_ON = (
    "PATH",
    "LD_LIBRARY_PATH",
    "TMPDIR",
)  # what it takes to start programs, and nothing that is secret
VERSION = "import sys; print(*sys.version_info[:3], sep='.')"
FINDS_PYTHON = (
    "put python3 3.8 or newer first on the PATH of the client: without it hooks fail and calls pass"
)
SESSION = "00000000-0000-4000-8000-000000000000"
# Read together by the gate, this names `deft preflight`, so it guards, and then refuses the rest. Should
# nothing guard, the shell does no more than make an empty file in a folder that is about to go.
LAUNCH = "false && deft preflight .; touch launched"
REFUSAL = "deft gate"
ECHO = {"tool_name": "Bash", "tool_input": {"command": "echo hooks"}, "tool_use_id": "toolu_000001"}
SAID = {"stdout": "hooks", "stderr": "", "interrupted": False, "isImage": False}
PAYLOADS: dict[str, dict[str, Any]] = {
    "SessionStart": {"source": "startup"},
    "UserPromptSubmit": {"prompt": "check the hooks", "permission_mode": "default"},
    "PreToolUse": {**ECHO, "tool_input": {"command": LAUNCH}},
    "PostToolUse": {**ECHO, "tool_response": SAID, "duration_ms": 10},
    "PostToolUseFailure": {**ECHO, "error": "Exit code 3", "is_interrupt": False, "duration_ms": 10},
    "Stop": {"stop_hook_active": False, "last_assistant_message": "Done."},
}


@dataclass(frozen=True)
class Hook:
    """One command of the hooks file: its event, its words, and the seconds that it may take."""

    event: str
    command: tuple[str, ...]
    seconds: float


def hooks_of(plugin_root: Path) -> list[Hook]:
    """Return the hooks of a plugin; raises OSError, ValueError, KeyError or TypeError for a damaged file."""
    record = json.loads((plugin_root / "hooks" / "hooks.json").read_text(encoding="utf-8"))
    return [
        Hook(event, _words(hook, plugin_root), float(hook["timeout"]))
        for event, groups in record["hooks"].items()
        for group in groups
        for hook in group["hooks"]
    ]


def _words(hook: dict[str, Any], plugin_root: Path) -> tuple[str, ...]:
    words = [hook["command"], *hook["args"]]
    return tuple(word.replace("${CLAUDE_PLUGIN_ROOT}", str(plugin_root)) for word in words)


def clean_environment(home: Path) -> dict[str, str]:
    """Return an environment in which programs are found and nothing of the user is."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**kept, "HOME": str(home), "TERM": "dumb", "LANG": "C.UTF-8"}


def file_checks(plugin_root: Path = PLUGIN_ROOT) -> Iterator[Check]:
    """Yield a check of `python3` and one of each hook, started alone with an event like a client's."""
    yield _python()
    try:
        hooks = hooks_of(plugin_root)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        detail = f"{plugin_root / 'hooks' / 'hooks.json'}: {fault!r}"
        yield Check("hooks file", False, detail, "install the plugin again; this file is part of it")
        return
    with tempfile.TemporaryDirectory(prefix="deft-hooks-") as folder:
        for hook in hooks:
            yield _answers(hook, Path(folder))


def _python() -> Check:
    """Ask the `python3` that the client would find for its version."""
    try:
        found = _start(("python3", "-I", "-c", VERSION), b"", clean_environment(Path("/")), 10)
        version = found.stdout.decode().strip()
        new_enough = tuple(map(int, version.split("."))) >= OLDEST_PYTHON
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return Check("python3", False, "not found, or it does not start", FINDS_PYTHON)
    return Check("python3", new_enough, version, FINDS_PYTHON)


def _answers(hook: Hook, folder: Path) -> Check:
    """Start a hook with an event; a gate must refuse the launch in its event."""
    name, cure = f"{hook.event} alone", f"see what it says: {' '.join(hook.command)} < /dev/null"
    common = {"session_id": SESSION, "cwd": str(folder), "hook_event_name": hook.event}
    event = json.dumps({**common, **PAYLOADS.get(hook.event, {})}).encode()
    began = time.perf_counter()
    try:
        done = _start(hook.command, event, clean_environment(folder), hook.seconds)
    except OSError as fault:
        return Check(name, False, str(fault), FINDS_PYTHON)
    except subprocess.TimeoutExpired:
        return Check(name, False, f"no answer within {hook.seconds:.0f} s", cure)
    took = f"answers in {1000 * (time.perf_counter() - began):.0f} ms"
    if done.returncode != 0:
        return Check(name, False, f"exit code {done.returncode}: {_last_line(done.stderr)}", cure)
    if hook.event == "PreToolUse" and REFUSAL.encode() not in done.stdout:
        return Check(name, False, f"{took}, but let a launch pass", cure)
    return Check(name, True, took)


def _start(
    command: tuple[str, ...], event: bytes, environment: dict[str, str], seconds: float
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command, input=event, capture_output=True, env=environment, timeout=seconds, check=False
    )


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else "nothing on stderr"
