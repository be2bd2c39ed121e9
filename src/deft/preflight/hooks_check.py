"""Prove that the plugin's hooks fire in the user's own client, without the user's key, settings or money.

The client is started once, in a home and a folder that vanish, with a dummy key and a model of ours on
loopback. The model calls three shell commands; what the client says of its hooks, and what the commands
answered, is the proof.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deft.platforms.base import Check
from deft.preflight.hook_files import LAUNCH, PAYLOADS, PLUGIN_ROOT, REFUSAL, clean_environment, file_checks
from deft.preflight.scripted_server import serving

MODEL = "claude-sonnet-5"  # named, because the client's default changes
SECONDS = 90
COMMANDS = ('echo "$TAO_SKILL_BANK_PATH"', "exit 3", LAUNCH)
ROOT_SHOWN, REFUSED = 0, 2  # which of the commands answers what
CURES = {
    "client": "install Claude Code, or name it: deft doctor --hooks --client PATH",
    "stays shut": "the gate in the client is not at work: see the lines above; deft itself still refuses",
    "fires": "look for disableAllHooks in the client's settings or your organisation's; update the client",
    "works": "see what it says: python3 {file} < /dev/null",
    "plugin": "claude plugin validate {root} --strict names the fault; or install the plugin again",
    "exports": "python3 must be on the PATH of the client, and its home writable",
}


@dataclass(frozen=True)
class Conversation:
    """What one start of the client left: exit code, events, last words on stderr, answers to the commands."""

    code: int | None
    events: Sequence[dict[str, Any]]
    errors: str
    results: dict[int, str]

    @property
    def start(self) -> dict[str, Any]:
        """The event that lists what the client loaded; empty if it never came."""
        return next((event for event in self.events if event.get("subtype") == "init"), {})

    def responses(self, event: str) -> list[dict[str, Any]]:
        """Return what the hooks of one event ended with."""
        ended = [found for found in self.events if found.get("subtype") == "hook_response"]
        return [found for found in ended if found.get("hook_event") == event]


def hooks_checks(client: str | None, plugin_root: Path = PLUGIN_ROOT) -> list[Check]:
    """Check the hooks alone, then in a client: the named one, else `claude` on the PATH."""
    checks = list(file_checks(plugin_root))
    program = shutil.which(client or "claude")
    if program is None:
        missing = f"{client} is no program" if client else "no claude on the PATH"
        return [*checks, Check("client", False, missing, CURES["client"])]
    try:
        return [*checks, *_verdicts(converse(Path(program).absolute(), plugin_root), plugin_root)]
    except OSError as fault:
        return [*checks, Check("client", False, f"{program}: {fault.strerror}", CURES["client"])]


# --- one conversation ----------------------------------------------------------------------------------


def converse(program: Path, plugin_root: Path) -> Conversation:
    """Start the client in a folder that vanishes and let it talk to a model of ours."""
    with (
        tempfile.TemporaryDirectory(prefix="deft-hooks-", ignore_cleanup_errors=True) as folder,
        serving(COMMANDS) as model,
    ):
        home, project = Path(folder, "home"), Path(folder, "project")
        home.mkdir()
        project.mkdir()
        code, output, errors = _start(_command(program, plugin_root), project, _environment(home, model.url))
        return Conversation(code, list(_events(output)), errors, dict(model.results))


def _command(program: Path, plugin_root: Path) -> list[str]:
    """Return the client's command line; the prompt comes first, since later flags take lists."""
    shown = ["--output-format", "stream-json", "--verbose", "--include-hook-events"]
    allowed = ["--setting-sources", "user,project", "--permission-mode", "acceptEdits"]
    fixed = ["--plugin-dir", str(plugin_root), "--model", MODEL, *shown, *allowed]
    return [str(program), "-p", "check the hooks", *fixed, "--allowedTools", "Bash"]


def _environment(home: Path, url: str) -> dict[str, str]:
    return {
        **clean_environment(home),
        "ANTHROPIC_API_KEY": "dummy",
        "ANTHROPIC_BASE_URL": url,
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


def _start(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int | None, bytes, str]:
    """Run a client with all its children; the code is None if it had to be killed.

    Its streams are files: a child that outlives it would keep a pipe open.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(timeout=SECONDS)
        _kill_group(process)
        output.seek(0)
        errors.seek(0)
        return code, output.read(), errors.read().decode("utf-8", "replace").strip()[-300:]


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a client and of its children."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _events(output: bytes) -> Iterator[dict[str, Any]]:
    """Yield the events of a stream; a line that is none, or that a kill cut, is left out."""
    for line in output.splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict):
                yield event


# --- what it proves ------------------------------------------------------------------------------------


def _verdicts(found: Conversation, plugin_root: Path) -> Iterator[Check]:
    """Yield the client, the plugin in it, each event, and the two things that only a hook can have done."""
    yield _client(found)
    if not found.start:
        return
    yield _plugin(found.start, plugin_root)
    for event in PAYLOADS:
        yield _fired(event, found, plugin_root)
    exported = str(plugin_root) in found.results.get(ROOT_SHOWN, "")
    detail = "reaches commands" if exported else "does not reach commands"
    yield Check("TAO_SKILL_BANK_PATH", exported, detail, CURES["exports"])
    shut = REFUSAL in found.results.get(REFUSED, "")
    detail = "a launch was refused, and the model was told why" if shut else "a launch was not refused"
    yield Check("gate", shut, detail, CURES["stays shut"])


def _client(found: Conversation) -> Check:
    version = str(found.start.get("claude_code_version", "of no known version"))
    if found.start and found.code == 0:
        return Check("client", True, f"Claude Code {version}")
    ended = f"no end within {SECONDS} s" if found.code is None else f"exit code {found.code}"
    return Check("client", False, f"{ended}: {found.errors or 'nothing on stderr'}", CURES["client"])


def _plugin(start: dict[str, Any], plugin_root: Path) -> Check:
    faults = start.get("plugin_errors") or []
    loaded = any(
        Path(plugin.get("path", "")).resolve() == plugin_root.resolve()
        for plugin in start.get("plugins") or []
    )
    detail = "loaded" if loaded else "not loaded"
    if faults:
        detail = f"{detail}, with errors: {json.dumps(faults, ensure_ascii=False)[:400]}"
    return Check("plugin", loaded and not faults, detail, CURES["plugin"].format(root=plugin_root))


def _fired(event: str, found: Conversation, plugin_root: Path) -> Check:
    responses = found.responses(event)
    if not responses:
        return Check(event, False, "did not fire", CURES["fires"])
    bad = [one for one in responses if one.get("exit_code") != 0 or one.get("outcome") != "success"]
    if bad:
        said = str(bad[0].get("stderr", "")).strip()[-200:]
        detail = f"fired and failed: {bad[0].get('outcome')}, exit code {bad[0].get('exit_code')}: {said}"
        return Check(event, False, detail, CURES["works"].format(file=plugin_root / "hooks" / _file(event)))
    return Check(event, True, f"fired, {len(responses)} of {len(responses)} answered")


def _file(event: str) -> str:
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in event)
    return words.lstrip("_").removesuffix("_failure") + ".py"
